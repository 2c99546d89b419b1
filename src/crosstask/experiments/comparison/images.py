"""The same images through several runs, beside the truth (DenseMTL, Figure 4)."""

import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.data.spacing import evenly
from crosstask.engine.hardware import choose
from crosstask.engine.runs import RunError
from crosstask.evaluation.evaluate import Evaluator, batch_of_one
from crosstask.experiments.comparison.records import Record, find_runs, read_record
from crosstask.experiments.comparison.sheet import Sheet, Window, draw_sheet
from crosstask.experiments.studies.study import letters
from crosstask.media.images import visible
from crosstask.plugins.find import short
from crosstask.plugins.trust import Trust
from crosstask.recipes.reopen import open_run
from crosstask.tasks import Task


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
    inset: Window | str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Sheet:
    """`compare_images` of run directories, folders of runs or a study's list.

    Runs that differ in their seed only are one column: the run of the median seed by `score`.

    Args:
        root: where the dataset lies now.
        checkpoint: "best" or "last"; None is the one that was scored.
        indices: of validation images; `samples` evenly spaced ones if left out.
        device: auto, cpu, cuda or mps.
        trust: which Python files that the runs name may run, see `crosstask.plugins.trust`.
        inset: see `compare_images`.
        say: told which seed stands for a method.
    """
    records = [read_record(path, trust) for path in find_runs(runs)]
    opened = [
        (name, open_run(record.path, checkpoint, root, trust=trust))
        for name, members in methods(records, say).items()
        for record in members
    ]
    contestants = [
        Contestant(
            name=name, network=e.regime.inference_network(), tasks=e.tasks, data=e.scored_data()
        )
        for name, e in opened
    ]
    size = len(contestants[0].data)  # type: ignore[arg-type]
    chosen = evenly(size, max(1, samples)) if indices is None else indices
    return compare_images(contestants, chosen, choose(device, "32").device, inset)


def methods(
    records: Sequence[Record], say: Callable[[str], None] = lambda text: None
) -> dict[str, list[Record]]:
    """{title: runs of one column}: a row of a study, or runs that differ in their seed, by the median
    seed; single-task runs of one row and seed share the column.

    The median is that of the mean `score` over the runs of a seed; of an even number the lower one.
    Runs that are alike in everything have columns of their own.
    """
    groups: dict[tuple[str | None, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.row, record.key()), []).append(record)
    found: dict[str, list[Record]] = {}
    rows = [row for row, _ in groups]
    for (row, _), members in groups.items():
        if len({(r.seed, r.tasks) for r in members}) < len(members):
            for record in members:
                found[_free(record.path.name, record, found)] = [record]
            continue
        seeds: dict[int, list[Record]] = {}
        for record in members:
            seeds.setdefault(record.seed, []).append(record)
        seed, chosen = _median(seeds)
        name = row or (short(chosen[0].architecture) if len(seeds) > 1 else chosen[0].path.name)
        if (row is not None and rows.count(row) > 1) or (len(seeds) > 1 and name in found):
            name = f"{name} {letters(t.name for r in chosen for t in r.tasks)}"
        if row is None and name in found:
            name = chosen[0].path.name
        name = _free(name, chosen[0], found)
        if len(seeds) > 1:
            say(f"{name}: seed {seed}, the median of {len(seeds)}")
        found[name] = chosen
    return found


def _free(name: str, record: Record, taken: Container[str]) -> str:
    """A name that no other column has: with the folder before it, else with a number."""
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    names = itertools.chain((name, f"{record.path.parent.name}/{name}"), numbered)
    return next(candidate for candidate in names if candidate not in taken)


def _median(seeds: Mapping[int, list[Record]]) -> tuple[int, list[Record]]:
    def score(members: Sequence[Record]) -> float:
        return sum(record.metrics.get("score", 0.0) for record in members) / len(members)

    whole = max(map(len, seeds.values()))  # a seed that lacks runs stands for nothing
    complete = sorted(
        (item for item in seeds.items() if len(item[1]) == whole), key=lambda item: score(item[1])
    )
    return complete[(len(complete) - 1) // 2]


@torch.no_grad()
def compare_images(
    runs: Sequence[Contestant],
    indices: Sequence[int],
    device: torch.device | str = "cpu",
    inset: Window | str | None = None,
) -> Sheet:
    """A sheet: per image one line a task; columns image, truth, and one a name.

    Runs of one name (the single-task runs of a study) share a column, the first that has a task
    fills its place; a task that none has leaves it empty. All runs share the colour
    scale of the truth.

    Args:
        inset: (left, top, width, height) in pixels of the image, shown enlarged in a corner of each
            cell; "auto" takes in each image a quarter of its height where the runs differ most.

    Raises:
        RunError: a window beyond the image, the runs were validated on other images, or an index beyond them.
    """
    tasks: dict[str, Task] = {}
    for run in runs:
        tasks |= {task.name: task for task in run.tasks}
    lines: list[list[Tensor | None]] = []
    windows: list[Window | None] = []
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
        drawn = _lines(list(tasks.values()), samples, list(found.values()))
        windows += [_window(inset, drawn)] * len(drawn)
        lines += drawn
    titles = ["image", "truth", *dict.fromkeys(run.name for run in runs)]
    return draw_sheet(titles, lines, windows)


def _window(inset: Window | str | None, lines: Sequence[Sequence[Tensor | None]]) -> Window | None:
    """The window of one image's lines, in its pixels."""
    if inset is None:
        return None
    height, width = (int(side) for side in lines[0][0].shape[-2:])  # type: ignore[union-attr]
    if isinstance(inset, str):
        return _where_runs_differ(lines, height, width)
    left, top, wide, high = inset
    if min(left, top) < 0 or min(wide, high) < 1 or left + wide > width or top + high > height:
        raise RunError(
            f"`inset` is {','.join(map(str, inset))}; expected LEFT,TOP,WIDTH,HEIGHT inside the image "
            f"of {width} x {height} pixels"
        )
    return inset


def _where_runs_differ(lines: Sequence[Sequence[Tensor | None]], height: int, width: int) -> Window:
    """A square of a quarter of the height where the colours of the methods vary most."""
    side = max(2, min(height, width) // 4)
    spread = torch.zeros(1, 1, height, width)
    for line in lines:
        cells = [cell.float() for cell in line[2:] if cell is not None]
        cells += [cell.float() for cell in line[1:2] if cell is not None and len(cells) == 1]
        cells = [nn.functional.interpolate(cell[None], (height, width)) for cell in cells]
        if len(cells) > 1:
            spread += torch.cat(cells).std(0).mean(0)
    summed = nn.functional.avg_pool2d(spread, side, stride=1)[0, 0]
    top, left = divmod(int(summed.argmax()), summed.shape[1])
    return left, top, side, side


def _sample(run: Contestant, index: int) -> dict[str, Any]:
    size = len(run.data)  # type: ignore[arg-type]
    if not 0 <= index < size:
        raise RunError(f"`index` is {index}; {run.name} has images 0 to {size - 1}")
    return dict(run.data[index])


def _predict(run: Contestant, sample: Mapping[str, Any], device: Any) -> dict[str, Tensor]:
    run.network.eval().to(device)
    batch = batch_of_one(sample, device)
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
