"""Images of samples and predictions: panels with legends, overlays, point clouds."""

import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Num, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from crosstask.drawing.legends import INK, PAPER, SOFT, font, legend, shorten, to_image
from crosstask.media.files import write_bytes
from crosstask.media.images import visible
from crosstask.tasks import Task

_MISSING = (236, 237, 240)
_CELL = 400


def panel(
    image: Num[Tensor, "c h w"],
    targets: Mapping[str, Num[Tensor, "*t"]],
    predictions: Mapping[str, Num[Tensor, "*p"]],
    tasks: Sequence[Task],
    title: str = "",
    kinds: Mapping[str, str] | None = None,
) -> UInt8[Tensor, "3 height width"]:
    """The image and, for each task, truth over prediction, with a legend below each column.

    A task has one scale for truth and prediction; void is dark grey; a map that is not given is a
    light blank. Below the image lies the image blended with the predicted classes.

    Args:
        image: RGB (of other channels, see `media.images.visible`), floats in [0, 1] or uint8.
        targets: {task name: target without batch axis}; may be empty: one row of predictions.
        predictions: {task name: decoded prediction without batch axis}; may be empty.
        tasks: columns, in this order.
        title: line above everything.
        kinds: {task name: kind of its lengths, see `Task.kind_of`}, for the unit below the scale;
            without it that of targets.
    """
    image = visible(image)
    rows = [(n, maps) for n, maps in (("truth", targets), ("prediction", predictions)) if maps]
    rows = rows or [("", {})]
    width, height = _cell_size(image)
    size = max(11, min(16, width // 24))
    first: list[Image.Image | None] = [_fit(_bytes(image), width, height, smooth=True)]
    first += [_overlay_cell(image, maps, tasks, width, height) for _, maps in rows[1:]]
    columns = [_column("image", "", first, None)]
    for task in tasks:
        maps = [m[task.name].detach().cpu() if task.name in m else None for _, m in rows]
        kind = (kinds or {}).get(task.name)
        columns.append(_task_column(task, maps, width, height, size, kind))
    labels = [name for name, _ in rows] if len(rows) > 1 else []
    return _to_tensor(_assemble(columns, labels, (width, height), size, title))


def stack(panels: Sequence[UInt8[Tensor, "3 _h _w"]], gap: int = 12) -> UInt8[Tensor, "3 h w"]:
    """Panels below each other on white."""
    if not panels:
        raise ValueError("`panels` is empty; expected at least one image")
    width = max(p.shape[2] for p in panels)
    height = sum(p.shape[1] for p in panels) + gap * (len(panels) - 1)
    sheet = torch.full((3, height, width), 255, dtype=torch.uint8)
    top = 0
    for image in panels:
        sheet[:, top : top + image.shape[1], : image.shape[2]] = image.cpu()
        top += image.shape[1] + gap
    return sheet


def overlay(
    image: Num[Tensor, "3 h w"], colors: UInt8[Tensor, "3 h w"], alpha: float = 0.5
) -> UInt8[Tensor, "3 h w"]:
    """Colours over the image: `alpha` 0 is the image alone, 1 the colours alone."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` is {alpha}; expected 0 to 1")
    base = _bytes(image).float()
    return (base + alpha * (colors.cpu().float() - base)).round().to(torch.uint8)


def save(path: str | PathLike[str], image: UInt8[Tensor, "3 h w"]) -> None:
    """Writes PNG, or JPEG where the name ends in .jpg or .jpeg; whole or not at all."""
    kind = "JPEG" if Path(path).suffix.lower() in (".jpg", ".jpeg") else "PNG"
    data = io.BytesIO()
    to_image(image).save(data, format=kind)
    write_bytes(Path(path), data.getvalue())


def write_ply(
    path: str | PathLike[str],
    points: Float[Tensor, "3 h w"],
    colors: UInt8[Tensor, "3 h w"],
    valid: Bool[Tensor, "h w"] | None = None,
) -> int:
    """Writes a coloured point cloud (binary PLY) and returns its number of points.

    The file has x right, y up, z toward the viewer, as 3-D viewers expect: y and z of the camera
    frame are negated.

    Args:
        points: metres in the camera frame, e.g. of `geometry.unproject`.
        colors: of the points.
        valid: which to write; by default the finite ones in front of the camera.
    """
    if valid is None:
        valid = torch.isfinite(points).all(0) & (points[2] > 0)
    upright = torch.tensor([1.0, -1.0, -1.0], device=points.device)
    place = (points.permute(1, 2, 0)[valid].float() * upright).cpu().numpy()
    color = colors.permute(1, 2, 0).cpu()[valid.cpu()].numpy()
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1")]
    cloud = np.empty(len(place), dtype=[*fields, ("blue", "u1")])
    for k, name in enumerate(("x", "y", "z")):
        cloud[name] = place[:, k]
    for k, name in enumerate(("red", "green", "blue")):
        cloud[name] = color[:, k]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}"]
    header += [f"property float {name}" for name in ("x", "y", "z")]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    write_bytes(Path(path), "\n".join([*header, "end_header\n"]).encode() + cloud.tobytes())
    return len(cloud)


def _bytes(image: Num[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    image = image.detach().cpu()
    if image.dtype == torch.uint8:
        return image
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)


def _to_tensor(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _cell_size(image: Num[Tensor, "3 h w"]) -> tuple[int, int]:
    """Width and height of a cell: the image's shape inside a square."""
    height, width = image.shape[1:]
    factor = _CELL / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _fit(image: UInt8[Tensor, "3 h w"], width: int, height: int, smooth: bool) -> Image.Image:
    shrinks = image.shape[2] > width
    how = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
    if smooth:
        how = Image.Resampling.BICUBIC
    return to_image(image).resize((width, height), how)


_Column = tuple[str, str, list[Image.Image | None], Image.Image | None]


def _column(
    name: str, unit: str, cells: list[Image.Image | None], key: Image.Image | None
) -> _Column:
    return name.replace("_", " "), unit, cells, key


def _task_column(
    task: Task,
    maps: Sequence[Tensor | None],
    width: int,
    height: int,
    size: int,
    kind: str | None = None,
) -> _Column:
    given = [value for value in maps if value is not None]
    scale = task.color_scale(*given)
    cells = [
        None
        if value is None
        else _fit(task.colorize(value, **scale), width, height, smooth=task.smooth)
        for value in maps
    ]
    return _column(task.name, "", cells, legend(task, given, width, size, kind))


def _overlay_cell(
    image: Tensor, maps: Mapping[str, Tensor], tasks: Sequence[Task], width: int, height: int
) -> Image.Image | None:
    for task in tasks:
        if task.class_table is not None and task.name in maps:
            colors = task.colorize(maps[task.name])
            if colors.shape == image.shape:
                return _fit(overlay(image, colors, 0.55), width, height, smooth=True)
    return None


def _assemble(
    columns: list[_Column], labels: list[str], cell: tuple[int, int], size: int, title: str
) -> Image.Image:
    width, height = cell
    gap, edge = max(6, size // 2), round(1.0 * size)
    left = edge + (round(1.8 * size) if labels else 0)
    head = round(2.0 * size) + (round(2.2 * size) if title else 0)
    rows = max(len(cells) for _, _, cells, _ in columns)
    foot = max((key.height for *_, key in columns if key is not None), default=0)
    total = left + len(columns) * (width + gap) - gap + edge
    bottom = head + rows * (height + gap)
    sheet = Image.new("RGB", (total, bottom + foot + edge // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        line = shorten(title, size + 3, total - 2 * edge)
        draw.text((left, 0.5 * size), line, fill=INK, font=font(size + 3), anchor="la")
    for row, label in enumerate(labels):
        middle = head + row * (height + gap) + height // 2
        _vertical(sheet, label, edge + round(0.4 * size), middle, height, size)
    for number, (name, unit, cells, key) in enumerate(columns):
        x = left + number * (width + gap)
        heading = shorten(f"{name} ({unit})" if unit else name, size + 1, width)
        y = head - 0.4 * size
        draw.text((x + width / 2, y), heading, fill=INK, font=font(size + 1), anchor="md")
        for row, image in enumerate(cells):
            top = head + row * (height + gap)
            if image is None and (row == 0 or number):
                draw.rectangle((x, top, x + width - 1, top + height - 1), fill=_MISSING)
                draw.text((x + width / 2, top + height / 2), "none", SOFT, font(size), anchor="mm")
            elif image is not None:
                sheet.paste(image, (x, top))
                draw.rectangle((x - 1, top - 1, x + width, top + height), outline=(208, 210, 214))
        if key is not None:
            sheet.paste(key, (x, bottom))
    return sheet


def _vertical(sheet: Image.Image, text: str, x: int, middle: int, height: int, size: int) -> None:
    """Text that reads upward, centred at `middle`."""
    text = shorten(text, size, height)
    strip = Image.new("RGB", (height, round(1.5 * size)), PAPER)
    place = (height / 2, 0.75 * size)
    ImageDraw.Draw(strip).text(place, text, fill=SOFT, font=font(size), anchor="mm")
    turned = strip.rotate(90, expand=True)
    sheet.paste(turned, (x - turned.width // 2, middle - height // 2))
