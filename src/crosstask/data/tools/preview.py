"""`crosstask data preview`: a sheet of samples with all their targets, and a point cloud."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from crosstask import geometry
from crosstask.data.dataset import SceneDataset
from crosstask.data.sample import DataError, target_of
from crosstask.drawing.legends import INK, PAPER, font, legend, text_width, to_image
from crosstask.drawing.panels import write_ply
from crosstask.media.images import visible
from crosstask.tasks import ClassTable, Task
from crosstask.tasks.target import Target, declared_by

_LINE, _GAP, _TEXT_SIZE = 16, 4, 12
_VOID = (np.array([214, 214, 220], np.uint8), np.array([150, 150, 160], np.uint8))


def image_task(name: str, classes: ClassTable | None) -> Task:
    """Who draws a target: the task that declared it, with its defaults."""
    kind: Any = declared_by(name)
    if kind is None:
        raise DataError(
            f"`modalities` has {name!r}, which no task class declares, so nothing draws it"
        )
    if name == "segmentation":
        return cast(Task, kind(classes if classes is not None else ClassTable.numbered(1)))
    return cast(Task, kind())


def caption(name: str, value: Tensor, target: Target | None = None) -> str:
    """Name, range and share of void of a target; `target` is its own where its void is not the usual."""
    target = target or target_of(name)
    void = target.void_mask(value)
    share = float(void.float().mean())
    if share == 1:
        return f"{name}: not labelled"
    text = f"{name}, {100 * share:.0f} % void" if share >= 0.005 else name
    if target.distance:
        known = value[0][~void]
        return f"{text}, {float(known.min()):.2f} to {float(known.max()):.2f} m"
    return text


def sheet(dataset: SceneDataset, indices: Sequence[int], width: int = 360) -> Image.Image:
    """Rows are samples, columns the image and its targets, a legend below each column.

    Void is hatched. Depth has one scale for all rows; classes that do not occur are not listed.
    """
    names = [name for name in dataset.modalities if name in dataset.targets]
    tasks = {name: image_task(name, dataset.classes) for name in names}
    samples = [dataset[index] for index in indices]
    pixels = {n: torch.cat([s[n].flatten() for s in samples]) for n in names}
    scales = {n: tasks[n].color_scale(pixels[n]) for n in names}
    rows = []
    for sample in samples:
        image = (visible(sample["image"]) * 255).round().to(torch.uint8)
        size = (round(width * image.shape[-2] / image.shape[-1]), width)
        cells = [(sample["name"], _smooth(image, size))]
        for name in names:
            target = dataset.targets[name]
            cell = _target_cell(tasks[name], target, sample[name], size, scales[name])
            cells.append((caption(name, sample[name], target), cell))
        rows.append(_row(cells))
    keys = [_void_key(width)]
    keys += [legend(tasks[n], [pixels[n]], width, _TEXT_SIZE) for n in names]
    return _page([*rows, _beside(keys, width)] if names else rows)


def _smooth(image: UInt8[Tensor, "3 h w"], size: tuple[int, int]) -> Image.Image:
    return to_image(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _target_cell(
    task: Task, target: Target, value: Tensor, size: tuple[int, int], scale: Mapping[str, float]
) -> Image.Image:
    """A target at the size of a cell, as a transform would resize it; void is hatched."""
    value = target.resize(value, size)
    image = np.array(to_image(task.colorize(value, **scale)))
    _hatch(image, target.void_mask(value).numpy())
    return Image.fromarray(image)


def _hatch(image: np.ndarray, where: np.ndarray) -> None:
    """Diagonal stripes in two greys, which no class table and no scale has, over `where`."""
    rows, columns = np.nonzero(where)
    light = (rows + columns) // 4 % 2 == 0
    image[rows, columns] = np.where(light[:, None], _VOID[0], _VOID[1])


def _row(cells: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    width, height = cells[0][1].size
    row = Image.new("RGB", ((width + _GAP) * len(cells), height + _LINE + 6), PAPER)
    draw = ImageDraw.Draw(row)
    for column, (text, image) in enumerate(cells):
        left = column * (width + _GAP)
        row.paste(image, (left, _LINE))
        while text and text_width(text, _TEXT_SIZE) > width:
            text = text[1:]
        draw.text((left + 2, 0), text, fill=INK, font=font(_TEXT_SIZE))
    return row


def _void_key(width: int) -> Image.Image:
    """What the hatching means, below the images."""
    page = Image.new("RGB", (width, 2 * _LINE), PAPER)
    chip = np.zeros((_LINE, 2 * _LINE, 3), dtype=np.uint8)
    _hatch(chip, np.ones(chip.shape[:2], dtype=bool))
    page.paste(Image.fromarray(chip), (4, 6))
    text = "void: no ground truth"
    draw = ImageDraw.Draw(page)
    draw.text((2 * _LINE + 10, 6), text, fill=INK, font=font(_TEXT_SIZE))
    return page


def _beside(keys: Sequence[Image.Image], width: int) -> Image.Image:
    page = Image.new("RGB", ((width + _GAP) * len(keys), max(k.height for k in keys)), PAPER)
    for column, key in enumerate(keys):
        page.paste(key, (column * (width + _GAP), 0))
    return page


def _page(rows: Sequence[Image.Image]) -> Image.Image:
    page = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows)), PAPER)
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def write_cloud(path: Path, sample: Mapping[str, Any]) -> None:
    """The pixels of a sample that have depth, in its colours, as `panels.write_ply`."""
    image, depth, intrinsics = sample["image"], sample["depth"], sample["intrinsics"]
    points = geometry.unproject(depth[None], intrinsics[None])[0]
    write_ply(path, points, (visible(image) * 255).round().to(torch.uint8), depth[0] > 0)


def worst_first(dataset: SceneDataset, shares: Sequence[tuple[float, str]]) -> list[int]:
    """Indices of samples by their share of void, the largest first.

    Args:
        shares: void and name of frames, as `crosstask.data.tools.inspection` finds them; a frame
            that is not among them could not be read, and is left out.
    """
    places = {frame.name: index for index, frame in enumerate(dataset.frames)}
    return [places[name] for _, name in sorted(shares, key=lambda pair: (-pair[0], pair[1]))]


def cloud_sample(dataset: SceneDataset, indices: Sequence[int]) -> Mapping[str, Any] | None:
    """The first of these samples that has depth and a camera."""
    if "depth" not in dataset.modalities:
        return None
    for index in indices:
        sample = dataset[index]
        if float(sample["intrinsics"][0, 0]) > 0 and bool((sample["depth"] > 0).any()):
            return sample
    return None
