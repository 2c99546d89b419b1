"""From outputs and targets to the flat dictionary of metrics that a run records."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics import Metric

from crosstask.data.loading import evaluation_loader
from crosstask.data.spacing import evenly
from crosstask.evaluation.by_source import SourceMetrics
from crosstask.evaluation.finite import OutputWatch
from crosstask.geometry.pinhole import scale_intrinsics
from crosstask.losses import precise
from crosstask.tasks import Task

Batch = Mapping[str, Any]


def resize_output(
    output: Tensor, size: Sequence[int], content: Sequence[int] | None = None
) -> Tensor:
    """Bilinear resize of a raw output to the label's height and width, if either differs.

    Pixel centres are kept (align_corners=False), as everywhere in this project.

    Args:
        content: height and width, at the top left, of the part that the image fills; all of it if
            left out.
    """
    if content is not None:
        output = output[..., : content[0], : content[1]]
    if tuple(output.shape[-2:]) == tuple(size):
        return output
    return F.interpolate(precise(output), size=tuple(size), mode="bilinear", align_corners=False)


class Evaluator(nn.Module):
    """One metric accumulator a task, fed with raw outputs of the last level.

    Its sums are float64; on a device without float64 they stay on the CPU.

    Args:
        tasks: ordered tasks.
    """

    without_float64 = ("mps",)

    def __init__(self, tasks: Sequence[Task], metrics: Mapping[str, Metric] | None = None) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        given = metrics or {}
        self.metrics = nn.ModuleDict({t.name: given.get(t.name) or t.metric() for t in self.tasks})
        self.outputs = OutputWatch()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Evaluator":
        if fn(torch.zeros(0)).device.type in self.without_float64:
            return self
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def update(self, outputs: Mapping[str, Sequence[Tensor]], batch: Batch) -> dict[str, Tensor]:
        """Decodes, scores, and returns the predictions {task: decoded}.

        Args:
            outputs: of the network.
            batch: targets of one size, see `of_one_size`.
        """
        predictions = {}
        for task in self.tasks:
            size = _target_size(task, batch)
            output = resize_output(outputs[task.name][-1].float(), size, content_of(batch, size))
            self.outputs.see(task.name, output, batch)
            decoded, target = task.decode(output, batch.get("intrinsics")), batch[task.name]
            predictions[task.name] = decoded
            if decoded.device.type in self.without_float64:
                decoded, target = decoded.cpu(), target.cpu()
            cast(Metric, self.metrics[task.name]).update(decoded, target)
        return predictions

    def compute(self) -> dict[str, float]:
        """`{"depth/rmse": ..., ..., "score": ...}`: fractions, metres, degrees.

        `score` is the mean over the tasks of miou, delta1, 1 - mean/90 and f1; tasks whose
        evaluation set has no labels are left out of it.

        Raises:
            NonFiniteError: an output was NaN or infinite.
        """
        self.outputs.check()
        flat: dict[str, float] = {}
        scores = []
        for task in self.tasks:
            metric = cast(Metric, self.metrics[task.name])
            values = {k: float(v) for k, v in metric.compute().items()}
            flat |= {f"{task.name}/{key}": value for key, value in values.items()}
            score = task.score(values)
            if score == score:  # not NaN: there were labels
                scores.append(score)
        flat["score"] = sum(scores) / len(scores) if scores else float("nan")
        return flat

    def reset(self) -> None:
        self.outputs = OutputWatch()
        for metric in self.metrics.values():
            cast(Metric, metric).reset()


def _target_size(task: Task, batch: Batch) -> tuple[int, int]:
    height, width = batch[task.name].shape[-2:]
    return int(height), int(width)


def content_of(batch: Batch, size: tuple[int, int]) -> tuple[int, int] | None:
    """The part of the input that the image fills, for targets of `size`; None where they fill it too.

    Targets that moved with the image have the size of the input; others are as stored.
    """
    if "placed" not in batch or size == tuple(batch["image"].shape[-2:]):
        return None
    height, width = batch["placed"][0].tolist()
    return int(height), int(width)


def camera_of(batch: Batch, size: tuple[int, int]) -> Tensor:
    """The cameras (B,3,3) of maps of `size` that show the whole images."""
    height, width = content_of(batch, size) or batch["image"].shape[-2:]
    return scale_intrinsics(batch["intrinsics"], size[1] / width, size[0] / height)


def of_one_size(
    outputs: Mapping[str, Any], batch: Batch
) -> Iterator[tuple[Mapping[str, Any], Batch]]:
    """Outputs and their batch, one image at a time where targets are as stored.

    Such targets may differ in size, and be far larger than the input: then enlarged outputs of one
    image are held at a time, as in prediction.
    """
    size = tuple(batch["image"].shape[-2:])
    as_stored = [k for k in outputs if k in batch and _sizes(batch[k]) != {size}]
    if not as_stored:
        yield outputs, batch
        return
    for index in range(len(batch["image"])):
        rows = slice(index, index + 1)
        one = {key: value[rows] for key, value in batch.items()}
        one |= {k: v[0][None] for k, v in one.items() if isinstance(v, list) and _is_tensor(v[0])}
        final = {name: [levels[-1][rows]] for name, levels in outputs.items() if name in batch}
        yield final, one


def _sizes(targets: Any) -> set[tuple[int, ...]]:
    return {tuple(target.shape[-2:]) for target in targets}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def to_device(batch: Batch, device: torch.device | str) -> dict[str, Any]:
    """The batch with its tensors on `device`; names stay."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(entry) for entry in value]
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    return {key: moved(value) for key, value in batch.items()}


def batch_of_one(sample: Mapping[str, Any], device: torch.device | str) -> dict[str, Any]:
    """A sample as a batch on `device`: tensors with a first axis of one, lists of the rest."""
    batch = {k: v[None] if isinstance(v, Tensor) else [v] for k, v in sample.items()}
    return to_device(batch, device)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    tasks: Sequence[Task],
    dataset: Dataset[Any],
    *,
    batch_size: int = 4,
    workers: int = 0,
    device: torch.device | str = "cpu",
    evaluator: Evaluator | None = None,
    progress: Any = None,
    flip: bool = False,
    listener: Callable[[Mapping[str, Tensor], Batch], None] | None = None,
) -> dict[str, float]:
    """Scores a network on a dataset; every sample counts exactly once.

    Of a mixture, tasks that several parts label have `SOURCE/TASK/...` entries for each part too.

    Args:
        flip: average the raw outputs with those of the mirrored image (test-time flip).
        listener: sees every batch's decoded predictions and the batch.
        progress: optional wrapper around the batch iterator (a progress bar).
    """
    evaluator = (evaluator or Evaluator(tasks)).to(device)
    evaluator.reset()
    was_training = model.training
    model.eval().to(device)
    by_source = SourceMetrics(tasks, dataset)
    pin = torch.device(device).type == "cuda"
    loader: Iterable[Batch] = evaluation_loader(
        dataset, batch_size=batch_size, workers=workers, pin_memory=pin
    )
    for batch in progress(loader) if progress else loader:
        batch = to_device(batch, device)
        outputs = dict(model(batch["image"]))
        if flip:
            outputs = flip_average(model, batch["image"], outputs, tasks)
        for some_outputs, some in of_one_size(outputs, batch):
            predictions = evaluator.update(some_outputs, some)
            by_source.update(predictions, some)
            if listener is not None:
                listener(predictions, some)
    model.train(was_training)
    return evaluator.compute() | by_source.compute()


def flip_average(
    model: nn.Module, image: Tensor, outputs: Mapping[str, Sequence[Tensor]], tasks: Sequence[Task]
) -> dict[str, list[Tensor]]:
    """Mean of the last outputs of an image and of its mirror image, mirrored back."""
    mirrored = model(image.flip(-1))
    return {t.name: [(outputs[t.name][-1] + t.hflip(mirrored[t.name][-1])) / 2] for t in tasks}


@torch.no_grad()
def evaluate_constants(
    tasks: Sequence[Task], train: Dataset[Any], val: Dataset[Any], *, samples: int = 100
) -> dict[str, float]:
    """Scores of the trivial predictors under `trivial/...`: what no learning reaches.

    Most frequent class; mean depth, normal and edge rate per pixel; fitted on up to `samples`
    evenly spaced training samples and scored on the whole validation set.
    """
    constants = {task.name: task.constant() for task in tasks}
    subset = torch.utils.data.Subset(train, evenly(len(cast(Any, train)), samples))
    for batch in evaluation_loader(subset, batch_size=1):
        for task in tasks:
            constants[task.name].update(batch[task.name])
    evaluator = Evaluator(tasks)
    for batch in evaluation_loader(val, batch_size=1):
        for task in tasks:
            prediction = constants[task.name].predict(batch[task.name])
            cast(Metric, evaluator.metrics[task.name]).update(prediction, batch[task.name])
    return {f"trivial/{key}": value for key, value in evaluator.compute().items()}
