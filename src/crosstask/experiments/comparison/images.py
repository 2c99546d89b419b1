"""The same images through several runs, beside the truth (DenseMTL, Figure 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.data.spacing import evenly
from crosstask.engine.hardware import choose
from crosstask.engine.runs import RunError
from crosstask.evaluation.evaluate import Evaluator, to_device
from crosstask.experiments.comparison.records import find_runs, read_record
from crosstask.media.files import atomic_path
from crosstask.media.images import visible
from crosstask.plugins.trust import Trust
from crosstask.recipes.reopen import open_run
from crosstask.tasks import Task

GAP, HEADER = 4, 18
NARROWEST = 160
WHITE = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A run that takes part: its name, network, tasks and validation set."""

    name: str
    network: nn.Module
    tasks: tuple[Task, ...]
    data: Dataset[Any]


def compare_runs(
    runs: Sequence[str],
    *,
    root: str | None = None,
    checkpoint: str | None = None,
    indices: Sequence[int] | None = None,
    samples: int = 3,
    device: str = "auto",
    trust: Trust = False,
) -> Image.Image:
    """`compare_images` of run directories, folders of runs or a study's list.

    Args:
        root: where the dataset lies now.
        checkpoint: "best" or "last"; None is the one that was scored.
        indices: of validation images; `samples` evenly spaced ones if left out.
        device: auto, cpu, cuda or mps.
        trust: which Python files that the runs name may run, see `crosstask.plugins.trust`.
    """
    paths = find_runs(runs)
    names = _names(paths, trust)
    opened = [(names[path], open_run(path, checkpoint, root, trust=trust)) for path in paths]
    contestants = [
        Contestant(
            name=name, network=e.regime.inference_network(), tasks=e.tasks, data=e.scored_data()
        )
        for name, e in opened
    ]
    size = len(contestants[0].data)  # type: ignore[arg-type]
    chosen = evenly(size, max(1, samples)) if indices is None else indices
    return compare_images(contestants, chosen, choose(device, "32").device)


def _names(paths: list[Path], trust: Trust) -> dict[Path, str]:
    """The row of a study's run, shared by its single-task runs; else the folder's name."""
    records = {path: read_record(path, trust) for path in paths}
    taken: dict[tuple[str | None, str], Path] = {}
    for path, record in records.items():
        for task in record.tasks:
            taken.setdefault((record.row, task.name), path)
    return {
        path: record.row
        if record.row and all(taken[record.row, t.name] == path for t in record.tasks)
        else path.name
        for path, record in records.items()
    }


@torch.no_grad()
def compare_images(
    runs: Sequence[Contestant], indices: Sequence[int], device: torch.device | str = "cpu"
) -> Image.Image:
    """A sheet: per image one line a task; columns image, truth, and one a name.

    Runs of one name (the single-task runs of a study) share a column, the first that has a task
    fills its place; a task that none has leaves it empty. All runs share the colour
    scale of the truth.

    Raises:
        RunError: the runs were validated on other images, or an index beyond them.
    """
    tasks: dict[str, Task] = {}
    for run in runs:
        tasks |= {task.name: task for task in run.tasks}
    lines: list[list[Tensor | None]] = []
    for index in indices:
        samples = [_sample(run, index) for run in runs]
        names = [sample["name"] for sample in samples]
        if len(set(names)) > 1:
            raise RunError(
                f"image {index} is {' and '.join(dict.fromkeys(names))} in these runs; give runs "
                "that were validated on the same split"
            )
        found: dict[str, dict[str, Tensor]] = {}
        for run, sample in zip(runs, samples, strict=True):
            column = found.setdefault(run.name, {})
            column |= {k: v for k, v in _predict(run, sample, device).items() if k not in column}
        lines += _lines(list(tasks.values()), samples, list(found.values()))
    return _sheet(["image", "truth", *dict.fromkeys(run.name for run in runs)], lines)


def _sample(run: Contestant, index: int) -> dict[str, Any]:
    size = len(run.data)  # type: ignore[arg-type]
    if not 0 <= index < size:
        raise RunError(f"`index` is {index}; {run.name} has images 0 to {size - 1}")
    return dict(run.data[index])


def _predict(run: Contestant, sample: Mapping[str, Any], device: Any) -> dict[str, Tensor]:
    run.network.eval().to(device)
    batch = {k: v[None] if isinstance(v, Tensor) else [v] for k, v in sample.items()}
    batch = to_device(batch, device)
    outputs = dict(run.network(batch["image"]))
    predictions = Evaluator(run.tasks).to(device).update(outputs, batch)
    return {name: value[0].cpu() for name, value in predictions.items()}


def _lines(
    tasks: Sequence[Task],
    samples: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Tensor]],
) -> list[list[Tensor | None]]:
    lines: list[list[Tensor | None]] = []
    for task in tasks:
        truth = next(s[task.name] for s in samples if task.name in s)
        scale = task.color_scale(truth)
        cells = [
            task.colorize(found[task.name], **scale) if task.name in found else None
            for found in predictions
        ]
        image = _rgb(samples[0]["image"]) if not lines else None
        lines.append([image, task.colorize(truth, **scale), *cells])
    return lines


def _rgb(image: Float[Tensor, "c h w"]) -> UInt8[Tensor, "3 h w"]:
    return (visible(image).clamp(0, 1) * 255).round().to(torch.uint8)


def _sheet(titles: Sequence[str], lines: Sequence[Sequence[Tensor | None]]) -> Image.Image:
    filled = next(cell for line in lines for cell in line if cell is not None)
    factor = -(-NARROWEST // filled.shape[-1])  # small images are enlarged, for the titles
    height, width = (factor * side for side in filled.shape[-2:])
    size = (
        len(titles) * (width + GAP) - GAP,
        HEADER + len(lines) * (height + GAP) - GAP,
    )
    sheet = Image.new("RGB", size, WHITE)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        most = max(4, width // 7)
        shown = title if len(title) <= most else title[: most - 1] + "…"
        pen.text((column * (width + GAP) + 2, 3), shown, fill=(0, 0, 0), font_size=11)
    for row, line in enumerate(lines):
        for column, cell in enumerate(line):
            if cell is None:
                continue
            image = Image.fromarray(cell.permute(1, 2, 0).numpy())
            place = (column * (width + GAP), HEADER + row * (height + GAP))
            sheet.paste(image.resize((width, height), Image.Resampling.NEAREST), place)
    return sheet


def save_sheet(sheet: Image.Image, file: Path) -> None:
    """Writes a PNG or JPEG, atomically."""
    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(file.suffix.lower())
    if kind is None:
        raise ValueError(f"`output` is {str(file)!r}; expected a name that ends in .png or .jpg")
    with atomic_path(file) as temporary:
        sheet.save(temporary, format=kind)
