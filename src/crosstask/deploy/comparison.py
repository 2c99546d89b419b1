"""An exported file against the model itself: numbers of every pixel, and metrics of labelled images."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from crosstask.deploy.graph import Graph
from crosstask.evaluation.evaluate import content_of
from crosstask.tasks import Task
from crosstask.tasks.camera import focal_lengths

Run = Callable[..., Sequence[Tensor]]
"""Inputs of the file -> its outputs, in order."""


@dataclass
class Comparison:
    """What an export changed.

    Attributes:
        differences: {output: largest difference to the model}: relative to the largest value, of
            integers the share of other values; infinite where a value is not finite. Of inputs that
            no resizing rounds.
        means: the same, the mean of all pixels, of labelled images too.
        metrics: {name as in metrics.json: (of the model, of the file)}, where images are labelled.
        images: number of them.
    """

    differences: dict[str, float] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, tuple[float, float]] = field(default_factory=dict)
    images: int = 0

    def worst(self, tasks: Sequence[Task], exact: bool) -> float:
        """What a tolerance is held against.

        Args:
            exact: whether every pixel must be as the model's (float32); else each task's main metric
                decides, or the mean differences where nothing is labelled.
        """
        main = [f"{task.name}/{task.headline}" for task in tasks]
        judged = {name: values for name, values in self.metrics.items() if name in main}
        changes = [change(tasks, name, *values) for name, values in judged.items()]
        if exact:
            changes += self.differences.values()
        if exact or not changes:
            changes += self.means.values()
        return max(changes, default=math.inf)


def change(tasks: Sequence[Task], name: str, model: float, file: float) -> float:
    """How far a metric moved: fractions as they are, lengths and angles relative to the model's."""
    task, _, metric = name.partition("/")
    kind = next(t for t in tasks if t.name == task)
    if model == file or (math.isnan(model) and math.isnan(file)):
        return 0.0
    moved = abs(model - file)
    if kind.measure(metric).unit != "%":
        moved /= max(abs(model), 1e-6)
    return moved if math.isfinite(moved) else math.inf


def difference(expected: Tensor, found: Tensor) -> tuple[float, float]:
    """(largest, mean) difference of two outputs, see `Comparison`."""
    if not expected.is_floating_point():
        share = float((expected != found).float().mean())
        return share, share
    scale = expected.abs().max().clamp(min=1e-6)
    off = (expected - found).abs() / scale
    largest, mean = float(off.max()), float(off.mean())
    if not math.isfinite(largest) or not math.isfinite(mean):
        return math.inf, math.inf
    return largest, mean


@torch.no_grad()
def compare(
    graph: Graph,
    run: Run,
    inputs: Iterable[tuple[Tensor, ...]],
    samples: Iterable[Mapping[str, Any]] = (),
) -> Comparison:
    """The file against the model.

    Args:
        graph: the model's own, in float32.
        run: the file.
        inputs: see `Graph.example`, at several sizes.
        samples: labelled ones; raw outputs are compared with them and not scored.
    """
    found = Comparison()
    means: dict[str, list[float]] = {name: [] for name in graph.names}
    for given in inputs:
        _see(found, means, graph, graph(*given), run(*given))
    scores = _Scores(graph) if graph.interface.outputs == "decoded" else None
    for sample in samples:
        given = inputs_of(sample, graph)
        expected, got = graph(*given), run(*given)
        _see(found, means, graph, expected, got, exact=False)
        if scores is not None:
            scores.update(expected, got, sample)
        found.images += 1
    found.means = {name: sum(v) / len(v) for name, v in means.items() if v}
    if found.images and scores is not None:
        found.metrics = scores.compute()
    return found


def _see(
    into: Comparison,
    means: Mapping[str, list[float]],
    graph: Graph,
    expected: Sequence[Tensor],
    got: Sequence[Tensor],
    exact: bool = True,
) -> None:
    for name, one, other in zip(graph.names, expected, got, strict=True):
        largest, mean = difference(one, other)
        if exact:
            into.differences[name] = max(into.differences.get(name, 0.0), largest)
        means[name].append(mean)


def inputs_of(sample: Mapping[str, Any], graph: Graph) -> tuple[Tensor, ...]:
    """A sample as the file takes it; resized where the file takes one size only."""
    image = sample["image"][None]
    fixed = graph.interface.image_size
    camera = sample.get("intrinsics")
    focal = torch.zeros(1) if camera is None else focal_lengths(camera)[None].float()
    if fixed is not None and tuple(image.shape[-2:]) != fixed:
        area = image.shape[-2] * image.shape[-1]
        image = torch.nn.functional.interpolate(
            image, size=fixed, mode="bilinear", align_corners=False, antialias=True
        )
        focal = focal * (fixed[0] * fixed[1] / area) ** 0.5
    if graph.interface.input == "uint8":
        image = (image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return (image, focal) if graph.takes_focal else (image,)


def _fitted(value: Tensor, target: Tensor, sample: Mapping[str, Any]) -> Tensor:
    """A decoded output as a metric takes it, at the label's size.

    A label as stored shows the image alone: the output is cut to the part that the image fills.
    """
    value = value if value.is_floating_point() else value.long()
    value = _within(value, target, sample)
    if value.shape[-2:] == target.shape[-2:]:
        return value
    maps = value if value.ndim == 4 else value[:, None]
    sized = torch.nn.functional.interpolate(
        maps.float(), size=target.shape[-2:], mode="nearest-exact"
    ).to(value.dtype)
    return sized if value.ndim == 4 else sized[:, 0]


def _within(value: Tensor, target: Tensor, sample: Mapping[str, Any]) -> Tensor:
    """What an output says of the image, without what filled the input around it, as in evaluation.

    Outputs may have another size than the sample's image, which `inputs_of` resizes.
    """
    batch = {key: sample[key][None] for key in ("image", "placed") if key in sample}
    height, width = target.shape[-2:]
    content = content_of(batch, (int(height), int(width)))
    if content is None:
        return value
    sizes = zip(content, value.shape[-2:], sample["image"].shape[-2:], strict=True)
    rows, columns = (max(1, round(side * size / whole)) for side, size, whole in sizes)
    return value[..., :rows, :columns]


class _Scores:
    """Two accumulators a task: of the model's outputs and of the file's."""

    def __init__(self, graph: Graph) -> None:
        self.tasks, self.outputs, self.names = graph.tasks, graph.outputs, graph.names
        self.metrics = {task.name: (task.metric(), task.metric()) for task in graph.tasks}

    def update(
        self, expected: Sequence[Tensor], got: Sequence[Tensor], sample: Mapping[str, Any]
    ) -> None:
        for task in self.tasks:
            place = self.names.index(self.outputs[task.name][0])
            for metric, outputs in zip(self.metrics[task.name], (expected, got), strict=True):
                target = cast(Tensor, sample[task.name])[None]
                cast(Metric, metric).update(_fitted(outputs[place], target, sample), target)

    def compute(self) -> dict[str, tuple[float, float]]:
        found = {}
        for task in self.tasks:
            model, file = (cast(Metric, m).compute() for m in self.metrics[task.name])
            for name in task.main_metrics:
                if name in model:
                    found[f"{task.name}/{name}"] = (float(model[name]), float(file[name]))
        return found
