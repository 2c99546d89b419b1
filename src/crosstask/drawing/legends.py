"""What the colours of an image mean: class chips, a scale, a ball of directions."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Num
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from crosstask.tasks import ClassTable, Task

INK = (38, 40, 46)
SOFT = (120, 124, 134)
PAPER = (255, 255, 255)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that comes with Pillow."""
    return ImageFont.load_default(size=size)


def text_width(text: str, size: int) -> int:
    """Width of a line of text in pixels."""
    return round(font(size).getlength(text))


def shorten(text: str, size: int, width: int) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def legend(
    task: Task,
    values: list[Num[Tensor, "*v"]],
    width: int,
    size: int,
    kind: str | None = None,
    scale: Mapping[str, float] | None = None,
) -> Image.Image:
    """The legend of one task for maps drawn under a common scale.

    Args:
        values: the maps shown; only their classes appear, and they set the scale if it is left out.
        width: of the legend in pixels; its height follows.
        size: of the text in pixels.
        kind: of the lengths shown, see `Task.kind_of`; without it the unit is that of targets.
        scale: under which they were drawn, see `Task.color_scale`.
    """
    if task.class_table is not None:
        return _chips(task.class_table, values, width, size)
    scale = task.color_scale(*values) if scale is None else scale
    if {"low", "high"} <= {*scale}:
        return _bar(task, scale, width, size, task.scale_label(kind))
    if task.vectors:
        return _ball(task, width, size)
    return _note(task.legend_note, width, size)


def _blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, max(1, height)), PAPER)
    return image, ImageDraw.Draw(image)


def _note(text: str, width: int, size: int) -> Image.Image:
    image, draw = _blank(width, round(1.6 * size))
    draw.text((width / 2, 0.3 * size), text, fill=SOFT, font=font(size), anchor="ma")
    return image


def _chips(table: ClassTable, values: list[Tensor], width: int, size: int) -> Image.Image:
    """A colour chip and a name for each class that is shown, in as many columns as fit."""
    shown = torch.zeros(len(table), dtype=torch.bool)
    for value in values:
        index = value.cpu().long().flatten()
        shown[index[(index >= 0) & (index < len(table))].unique()] = True
    entries = [(table.names[k], table.colors[k]) for k in shown.nonzero().flatten().tolist()]
    chip, gap = size, round(0.4 * size)
    widest = max((text_width(name, size) for name, _ in entries), default=0)
    column = min(width, chip + widest + 3 * gap)
    columns = max(1, width // column)
    column = width // columns
    row = round(1.5 * size)
    rows = -(-len(entries) // columns)
    image, draw = _blank(width, rows * row + gap)
    for position, (name, color) in enumerate(entries):
        x, y = (position // rows) * column, (position % rows) * row + gap
        draw.rounded_rectangle((x, y, x + chip, y + chip), size // 4, fill=color, outline=SOFT)
        label = shorten(name.replace("_", " "), size, column - chip - 2 * gap)
        draw.text((x + chip + gap, y + chip / 2), label, fill=INK, font=font(size), anchor="lm")
    return image


def _bar(task: Task, scale: Mapping[str, float], width: int, size: int, unit: str) -> Image.Image:
    """The colours between both ends of a scale, with round numbers and the unit below."""
    low, high = scale["low"], scale["high"]
    logarithmic = task.log_colors and low > 0
    margin, top, height = round(1.2 * size), round(0.5 * size), size
    length = max(2, width - 2 * margin)
    place = torch.linspace(0, 1, length)
    values = low * (high / low) ** place if logarithmic else low + (high - low) * place
    image, draw = _blank(width, round(4.4 * size))
    image.paste(to_image(task.colorize(values.expand(1, height, length), **scale)), (margin, top))
    draw.rectangle((margin - 1, top - 1, margin + length, top + height), outline=SOFT)
    free = -float(margin)
    for number in _round_numbers(low, high) if logarithmic else _even_numbers(low, high):
        ratio = (number - low) / (high - low or 1.0)
        if logarithmic:
            ratio = math.log(number / low) / math.log(high / low)
        x = margin + ratio * (length - 1)
        text = f"{number:g}"
        half = text_width(text, size) / 2
        draw.line((x, top + height, x, top + height + size // 4), fill=SOFT)
        if x - half > free and x + half < width:
            y = top + height + 0.3 * size
            draw.text((x, y), text, fill=INK, font=font(size), anchor="ma")
            free = x + half + size // 2
    y = top + height + 1.5 * size
    draw.text((width / 2, y), unit, fill=SOFT, font=font(size), anchor="ma")
    return image


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between both ends; the ends themselves where the range holds fewer than two."""
    series = [base * 10.0**power for power in range(-4, 5) for base in (1, 2, 5)]
    inside = [value for value in series if low <= value <= high]
    return inside if len(inside) >= 2 else [float(f"{low:.3g}"), float(f"{high:.3g}")]


def _even_numbers(low: float, high: float) -> list[float]:
    """Five numbers at equal distances, from end to end."""
    return [float(f"{low + (high - low) * k / 4:.3g}") for k in range(5)]


def _ball(task: Task, width: int, size: int) -> Image.Image:
    """A ball seen from the camera: its surface has the colours of the vectors that point there."""
    radius = min(round(2.2 * size), width // 3)
    axis = torch.linspace(-1, 1, 2 * radius)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = x * x + y * y < 1
    z = -(1 - x * x - y * y).clamp_min(0).sqrt()
    colors = task.colorize(torch.stack([x, y, z]) * inside)
    paper = torch.tensor(PAPER, dtype=torch.uint8).view(3, 1, 1)
    image, draw = _blank(width, 2 * radius + 2 * round(1.4 * size))
    left, top = width // 2 - radius, round(1.4 * size)
    image.paste(to_image(torch.where(inside, colors, paper)), (left, top))
    middle = top + radius
    for text, place, anchor in (
        ("up", (width / 2, top - 0.2 * size), "mb"),
        ("down", (width / 2, top + 2 * radius + 0.2 * size), "ma"),
        ("left", (left - 0.4 * size, middle), "rm"),
        ("right", (left + 2 * radius + 0.4 * size, middle), "lm"),
    ):
        draw.text(place, text, fill=SOFT, font=font(size), anchor=anchor)
    return image


def to_image(image: Num[Tensor, "3 h w"]) -> Image.Image:
    """uint8 tensor to a Pillow image."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
