"""Where trained cross-task attention looks: maps of single pixels, and numbers over many.

A beautiful map of one pixel says little. Attention that is even over the image, or the same for
every pixel, reads an average of the image; the numbers tell how far from that it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Subset

from crosstask.data.feeding import feed
from crosstask.data.spacing import evenly
from crosstask.drawing.figures import save_figure
from crosstask.engine.hardware import choose
from crosstask.engine.runs import RunError
from crosstask.evaluation.evaluate import content_of
from crosstask.media.images import as_float, visible
from crosstask.plugins.trust import Trust
from crosstask.predict.attention import AttentionMap, AttentionReader, heat_image, why_no_attention
from crosstask.predict.model import SceneModel
from crosstask.recipes.reopen import open_run


@dataclass(frozen=True)
class Seen:
    """An image as a network sees it.

    Attributes:
        image: (C,H,W) in [0,1], of the network's input.
        content: height and width, at the top left, of the part that the image fills.
    """

    image: Float[Tensor, "c h w"]
    content: tuple[int, int]


def samples_of_run(
    run: Path,
    *,
    root: str | None = None,
    checkpoint: str | None = None,
    samples: int = 16,
    device: str = "auto",
    trust: Trust = False,
) -> tuple[nn.Module, list[Seen]]:
    """(network, evenly spaced images of the split that is scored) of a trained run.

    Args:
        root: where the dataset lies now.
        checkpoint: "best" or "last"; None is the one that was scored.
    """
    experiment = open_run(run, checkpoint, root, trust=trust)
    network = experiment.regime.inference_network().to(choose(device, "32").device).eval()
    data: Any = experiment.scored_data()
    chosen: Any = Subset(data, evenly(len(data), samples))
    return network, [_seen(chosen[place]) for place in range(len(chosen))]


def _seen(sample: Mapping[str, Any]) -> Seen:
    image = sample["image"]
    size = (int(image.shape[-2]), int(image.shape[-1]))
    batch = {key: sample[key][None] for key in ("image", "placed") if key in sample}
    return Seen(image, content_of(batch, size) or size)


def images_of_model(model: SceneModel, images: Sequence[Path]) -> Iterator[Seen]:
    """Image files, brought to the network's input as in prediction."""
    for path in images:
        pixels = as_float(model.open(path).pixels)
        place = model.place(pixels.shape[-2], pixels.shape[-1])
        yield Seen(feed(pixels[None], place)[0], place.content)


def measure_attention(
    network: nn.Module,
    images: Sequence[Seen],
    *,
    level: int | None = None,
    pixels: tuple[int, int] = (3, 4),
) -> dict[str, Any]:
    """How selective every direction of the attention is, on a grid of pixels of every image.

    Args:
        network: with attention over positions.
        images: one or more.
        level: of the exchange; the finest if left out.
        pixels: rows and columns of the grid.

    Returns:
        JSON-safe: the number of `images`, the `level`, and `directions`, a list with `target`,
        `source`, `alpha` (mean absolute learned scale), `half` (the smallest share of the cells
        that holds half of the weight, mean over the pixels: 0.5 is even) and `difference` (half the
        sum of absolute differences between the maps of neighbours on the grid, each scaled to sum
        to one, mean over them: 0 is one map for all pixels, 1 have nothing in common). A direction
        without attention over positions has a `reason`.

    Raises:
        RunError: a network without attention to show, no such level, or no image.
    """
    if not images:
        raise RunError("there is no image to look at")
    readings: list[list[list[AttentionMap]]] = []  # image, pixel, direction
    for seen in images:
        reader = _reader(network, seen, level)
        readings.append([reader.read(*pixel, level) for pixel in _grid(reader.size, pixels)])
    found = [
        _direction([[maps[place] for maps in reading] for reading in readings])
        for place in range(len(readings[0][0]))
    ]
    chosen = reader.levels[0] if level is None else level
    return {"images": len(images), "level": chosen, "directions": found}


def _direction(readings: Sequence[Sequence[AttentionMap]]) -> dict[str, Any]:
    """Its numbers, of its maps image by image."""
    first = readings[0][0]
    shares = [found.cells_of_half for maps in readings for found in maps]
    apart = [
        _apart(one.weights, other.weights)
        for maps in readings
        for one, other in pairwise(maps)
        if one.weights is not None and other.weights is not None
    ]
    return {
        "target": first.target,
        "source": first.source,
        "alpha": first.alpha,
        "half": _mean([few / cells for few, cells in shares if cells]),
        "difference": _mean(apart),
        "reason": first.reason,
    }


def _reader(network: nn.Module, seen: Seen, level: int | None) -> AttentionReader:
    reader = AttentionReader(network, seen.image, seen.content)
    if not reader.levels:
        raise RunError(why_no_attention(network))
    if level is not None and level not in reader.levels:
        told = ", ".join(map(str, reader.levels))
        raise RunError(f"`--level` is {level}; this network has attention at {told}")
    return reader


def _grid(size: tuple[int, int], number: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels in the middle of equal rectangles, row by row."""
    rows, columns = (
        [(2 * place + 1) * side // (2 * count) for place in range(count)]
        for side, count in zip(size, number, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one / one.sum() - other / other.sum()).abs().sum() / 2)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def draw_attention(
    network: nn.Module,
    images: Sequence[Seen],
    file: Path,
    *,
    pixel: tuple[float, float] = (0.6, 0.5),
    level: int | None = None,
) -> None:
    """A row for each image and target task, a column for each source task, as a figure.

    Args:
        pixel: from the top and from the left, in parts of the image.
        file: .png, .svg or .pdf.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = []
    for seen in images:
        reader = _reader(network, seen, level)
        row, column = (int(part * side) for part, side in zip(pixel, reader.size, strict=True))
        maps = reader.read(row, column, level)
        for target in dict.fromkeys(m.target for m in maps):
            found = {m.source: m for m in maps if m.target == target}
            rows.append((seen, (row, column), target, found))
    targets = list(dict.fromkeys(target for *_, target, _ in rows))
    read = {name: None for *_, found in rows for name in found}
    sources = [*(name for name in targets if name in read), *(n for n in read if n not in targets)]
    height, width = rows[0][0].content
    cell = (2.4, 2.4 * height / width + 0.3)
    shape = (len(rows), len(sources) + 1)
    figure = Figure(figsize=(cell[0] * shape[1], cell[1] * shape[0]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(*shape, squeeze=False)
    for line, (seen, place, target, found) in zip(axes, rows, strict=True):
        shown = visible(seen.image[:, : seen.content[0], : seen.content[1]]).cpu()
        line[0].imshow(shown.permute(1, 2, 0).float().clamp(0, 1).numpy())
        line[0].set_title(f"{target} reads", fontsize=8)
        for axis, source in zip(line[1:], sources, strict=True):
            if source in found:
                _draw_map(axis, shown, found[source])
        for axis in line:
            axis.axis("off")
            if axis is line[0] or axis.images:
                axis.plot(place[1], place[0], "+", color="cyan", markersize=9, markeredgewidth=1.5)
    save_figure(figure, file)


def _draw_map(axis: Any, image: Tensor, found: AttentionMap) -> None:
    if found.heat is None:
        axis.text(0.5, 0.5, "no attention over positions", ha="center", va="center", fontsize=7)
        return
    axis.imshow(heat_image(image, found.heat).permute(1, 2, 0).numpy())
    few, cells = found.cells_of_half
    alpha = "" if found.alpha is None else f", |alpha| {found.alpha:.3f}"
    axis.set_title(f"{found.source}: half in {few}/{cells} cells{alpha}", fontsize=6)
