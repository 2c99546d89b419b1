"""`crosstask data preview`: a sheet of samples with all their targets, and a point cloud."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from crosstask import geometry
from crosstask.data.dataset import SceneDataset
from crosstask.data.sample import TARGETS, void_mask
from crosstask.tasks import (
    ClassTable,
    Depth,
    Edges,
    HumanParts,
    Normals,
    Saliency,
    Segmentation,
)
from crosstask.tasks.task import Task

_TEXT, _PAPER, _LINE = (25, 25, 30), (255, 255, 255), 16


def picture_tasks(classes: ClassTable | None) -> dict[str, Task]:
    """Who draws which target."""
    table = classes if classes is not None else ClassTable.numbered(1)
    return {
        "segmentation": Segmentation(table),
        "human_parts": HumanParts(),
        "depth": Depth(),
        "normals": Normals(),
        "edges": Edges(),
        "saliency": Saliency(),
    }


def caption(name: str, value: Tensor) -> str:
    """Name, range and share of void of a target."""
    void = void_mask(name, value)
    share = float(void.float().mean())
    if share == 1:
        return f"{name}: not labelled"
    text = f"{name}, {100 * share:.0f} % void" if share >= 0.005 else name
    if name == "depth":
        known = value[0][~void]
        return f"{text}, {float(known.min()):.2f} to {float(known.max()):.2f} m"
    return text


def sheet(dataset: SceneDataset, indices: Sequence[int], width: int = 360) -> Image.Image:
    """Rows are samples, columns the picture and its targets; the legend names the classes shown."""
    tasks = picture_tasks(dataset.classes)
    names = [name for name in TARGETS if name in dataset.modalities]
    rows, seen = [], np.zeros(256, dtype=bool)
    for index in indices:
        sample = dataset[index]
        cells = [(sample["name"], (sample["image"] * 255).round().to(torch.uint8))]
        cells += [(caption(n, sample[n]), tasks[n].colorize(sample[n])) for n in names]
        rows.append(_row(cells, width))
        if "segmentation" in names:
            seen[sample["segmentation"].unique().numpy()] = True
    if dataset.classes is not None and "segmentation" in names:
        shown = [(n, c) for i, (n, c) in enumerate(zip(dataset.classes.names, dataset.classes.colors, strict=True)) if seen[i]]  # fmt: skip
        rows.append(_legend(shown, rows[0].width))
    height = sum(row.height for row in rows)
    page = Image.new("RGB", (rows[0].width, height), _PAPER)
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def _row(cells: Sequence[tuple[str, UInt8[Tensor, "3 h w"]]], width: int) -> Image.Image:
    height = round(width * cells[0][1].shape[-2] / cells[0][1].shape[-1])
    row = Image.new("RGB", ((width + 4) * len(cells), height + _LINE + 6), _PAPER)
    draw = ImageDraw.Draw(row)
    font = ImageFont.load_default(12)
    for column, (text, colours) in enumerate(cells):
        nearest = column > 0
        picture = Image.fromarray(colours.permute(1, 2, 0).numpy())
        method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
        row.paste(picture.resize((width, height), method), (column * (width + 4), _LINE))
        while text and draw.textlength(text, font=font) > width:
            text = text[1:]
        draw.text((column * (width + 4) + 2, 0), text, fill=_TEXT, font=font)
    return row


def _legend(entries: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> Image.Image:
    font = ImageFont.load_default(12)
    cell = 130
    columns = max(1, width // cell)
    lines = -(-len(entries) // columns)
    page = Image.new("RGB", (width, lines * 18 + 8), _PAPER)
    draw = ImageDraw.Draw(page)
    for place, (name, colour) in enumerate(entries):
        left, top = place % columns * cell + 4, place // columns * 18 + 4
        draw.rectangle((left, top, left + 12, top + 12), fill=colour, outline=_TEXT)
        draw.text((left + 18, top - 1), name, fill=_TEXT, font=font)
    return page


def point_cloud(
    image: Float[Tensor, "3 h w"], depth: Float[Tensor, "1 h w"], intrinsics: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "n 3"], UInt8[Tensor, "n 3"]]:
    """Points in camera coordinates (metres) and their colours, for every pixel with depth."""
    known = depth[0] > 0
    points = geometry.unproject(depth[None], intrinsics[None])[0][:, known]
    colours = (image[:, known] * 255).round().to(torch.uint8)
    return points.T.contiguous(), colours.T.contiguous()


def write_ply(path: Path, points: Float[Tensor, "n 3"], colours: UInt8[Tensor, "n 3"]) -> None:
    """Binary PLY with y up and z towards the viewer, as viewers expect."""
    record = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    data = np.empty(len(points), dtype=record)
    data["xyz"] = points.numpy() * np.array([1, -1, -1], dtype=np.float32)
    data["rgb"] = colours.numpy()
    fields = [f"property float {axis}" for axis in "xyz"]
    fields += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *fields]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*header, "end_header\n"]).encode() + data.tobytes())


def cloud_sample(dataset: SceneDataset, indices: Sequence[int]) -> Mapping[str, Any] | None:
    """The first of these samples that has depth and a camera."""
    if "depth" not in dataset.modalities:
        return None
    for index in indices:
        sample = dataset[index]
        if float(sample["intrinsics"][0, 0]) > 0 and bool((sample["depth"] > 0).any()):
            return sample
    return None
