"""What an evaluation computes on demand: boundary scores, depth at a known height, submissions.

Each is a listener of `crosstask.evaluation.evaluate.evaluate`: called with every batch's decoded
predictions and the batch, asked for its scores at the end.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crosstask.data.datasets.bsds500 import find_annotations
from crosstask.data.worker_pool import WorkerPool
from crosstask.evaluation.evaluate import camera_of
from crosstask.evaluation.submission import label_ids, write_submission
from crosstask.geometry.ground_plane import LARGEST_CHANGE, ground_distance, rescale
from crosstask.media.progress import QUIET, Progress
from crosstask.metrics.boundaries import BoundaryMetric, Counts
from crosstask.metrics.depth import DepthMetric
from crosstask.tasks import ClassTable, Task
from crosstask.tasks.resample import resize_edges

Predictions = Mapping[str, Tensor]
Batch = Mapping[str, Any]


class Extra(Protocol):
    """A listener with scores of its own."""

    def __call__(self, predictions: Predictions, batch: Batch) -> None: ...
    def compute(self, progress: Progress = QUIET) -> dict[str, float]: ...


class Boundaries:
    """`edges/ods_f`, `edges/ois_f`, ...: against every annotator where the dataset has several.

    Args:
        tasks: with edges.
        dataset: what is evaluated.
        tolerance: share of the image's diagonal.
        nms: suppress non-maxima first.
        processes: that match, seconds an image, beside this one, which predicts meanwhile; 0 matches
            here. The scores are the same.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        dataset: Any,
        tolerance: float,
        nms: bool = False,
        processes: int = 0,
    ) -> None:
        self.task = _needed(tasks, lambda task: task.draws_boundaries, "edges", "boundaries")
        self.metric = BoundaryMetric(tolerance, thin_target=True, nms=nms)
        self.annotations = find_annotations(dataset)
        self.processes, self.waiting = processes, deque[Future[Counts]]()
        self.pool: WorkerPool | None = None

    def __call__(self, predictions: Predictions, batch: Batch) -> None:
        for place, probability in enumerate(predictions[self.task.name].cpu()):
            truth = self.annotations(batch["source"][place], batch["name"][place])
            if truth is None:
                truth = batch[self.task.name][place].cpu()
            else:
                truth = self._moved(truth, probability.shape[-2:], batch, place)
            pair = self.metric.prepared(probability, truth)
            if pair is not None:
                self._count(*pair)

    def _count(self, probability: NDArray[Any], truth: NDArray[Any]) -> None:
        if not self.processes:
            self.metric.add(self.metric.counter(probability, truth))
            return
        if self.pool is None:
            self.pool = WorkerPool(self.processes)
        self.waiting.append(self.pool.submit(self.metric.counter, probability, truth))
        if len(self.waiting) > 2 * self.processes:  # bounds the memory
            self.metric.add(self.pool.result(self.waiting.popleft()))

    def _moved(self, truth: Tensor, shape: Sequence[int], batch: Batch, place: int) -> Tensor:
        """Annotators' edges where the target of this sample of the batch lies; void beside the image."""
        size = (int(shape[0]), int(shape[1]))
        placed = batch.get("placed")
        within = placed is not None and size == tuple(batch["image"].shape[-2:])
        if not within:
            return resize_edges(truth, size)
        height, width = (int(side) for side in placed[place])  # type: ignore[index]
        margins = (0, size[1] - width, 0, size[0] - height)
        return functional.pad(resize_edges(truth, (height, width)), margins, value=255)

    def close(self, *error: Any) -> None:
        """End the processes: at once where an exception is given, as to the end of a `with` block."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.__exit__(*(error or (None, None, None)))

    def compute(self, progress: Progress = QUIET) -> dict[str, float]:
        number = len(self.waiting)
        for _ in progress.each(range(number), number, "match boundaries"):
            assert self.pool is not None  # that has what waits
            self.metric.add(self.pool.result(self.waiting.popleft()))
        self.close()
        scores = self.metric.compute()
        return {f"{self.task.name}/{name}": float(value) for name, value in scores.items()}


class HeightScaledDepth:
    """`depth/height_scaled/...`: depth scaled to a known height of the camera above the ground.

    `depth/ground/mean` and `.../std` are the heights that the predictions themselves imply; of a share
    `.../found` of the images the ground was found, and the depth of the others is scored as it is.

    Args:
        tasks: with depth, under the protocol correct.
        height: metres.
    """

    def __init__(self, tasks: Sequence[Task], height: float) -> None:
        self.task = _needed(tasks, lambda task: task.is_depth, "depth", "camera-height")
        if self.task.protocol == "released":
            raise ValueError(
                "`--camera-height` scores metres, and the run's protocol is released; train with "
                "protocol correct"
            )
        self.height, self.implied, self.found = height, list[Tensor](), list[Tensor]()
        self.metric = DepthMetric(*(self.task.label_range or ()))

    def __call__(self, predictions: Predictions, batch: Batch) -> None:
        predicted = predictions[self.task.name].cpu()
        size = (predicted.shape[-2], predicted.shape[-1])
        camera = camera_of(batch, size).cpu()
        self.implied.append(ground_distance(predicted, camera))
        most = None if self.task.arbitrary_scale else LARGEST_CHANGE
        scaled, found = rescale(predicted, camera, self.height, most)
        self.found.append(found)
        self.metric.update(scaled, batch[self.task.name].cpu())

    def compute(self, progress: Progress = QUIET) -> dict[str, float]:
        scores = {f"height_scaled/{k}": float(v) for k, v in self.metric.compute().items()}
        heights = torch.cat(self.implied)
        implied = {"mean": heights.mean(), "std": heights.std(correction=0)}
        scores |= {f"ground/{k}": float(v) for k, v in implied.items()}
        scores["ground/found"] = float(torch.cat(self.found).float().mean())
        return {f"{self.task.name}/{key}": value for key, value in scores.items()}


class Submission:
    """Label-id PNGs for the Cityscapes server; no scores.

    Args:
        tasks: with segmentation, in Cityscapes classes.
        folder: where the files go.
    """

    def __init__(self, tasks: Sequence[Task], folder: Path) -> None:
        self.task = _needed(
            tasks, lambda t: t.class_table is not None, "segmentation", "submission"
        )
        table = cast(ClassTable, self.task.class_table)
        self.folder, self.ids = folder, label_ids(table.names)

    def __call__(self, predictions: Predictions, batch: Batch) -> None:
        for name, classes in zip(batch["name"], predictions[self.task.name], strict=True):
            write_submission(self.folder, name, classes, self.ids)

    def compute(self, progress: Progress = QUIET) -> dict[str, float]:
        return {}


class Extras:
    """Those that were asked for, as one; a context manager, whose end is that of their processes.

    Args:
        tasks: ordered tasks.
        dataset: what is evaluated.
        boundaries: tolerance of `Boundaries`; None leaves them out.
        nms: see `Boundaries`.
        camera_height: metres; None leaves `HeightScaledDepth` out.
        submission: folder; None leaves `Submission` out.
        processes: see `Boundaries`.

    Raises:
        ValueError: a task that one of them needs is missing, or `nms` without `boundaries`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        dataset: Any,
        *,
        boundaries: float | None = None,
        nms: bool = False,
        camera_height: float | None = None,
        submission: Path | str | None = None,
        processes: int = 0,
    ) -> None:
        if nms and boundaries is None:
            raise ValueError(
                "`nms` thins boundaries that are not scored; give `boundaries` (--boundaries 0.0075) with it"
            )
        self.asked: list[Extra] = []
        if boundaries is not None:
            self.asked.append(Boundaries(tasks, dataset, boundaries, nms, processes))
        if camera_height is not None:
            self.asked.append(HeightScaledDepth(tasks, camera_height))
        if submission is not None:
            self.asked.append(Submission(tasks, Path(submission)))

    def __enter__(self) -> "Extras":
        return self

    def __exit__(self, *error: Any) -> None:
        for extra in self.asked:
            if isinstance(extra, Boundaries):
                extra.close(*error)

    def __call__(self, predictions: Predictions, batch: Batch) -> None:
        for extra in self.asked:
            extra(predictions, batch)

    def compute(self, progress: Progress = QUIET) -> dict[str, float]:
        return {key: v for extra in self.asked for key, v in extra.compute(progress).items()}


def _needed(tasks: Sequence[Task], fits: Callable[[Task], bool], name: str, option: str) -> Task:
    for task in tasks:
        if fits(task):
            return task
    raise ValueError(f"`--{option}` needs the task {name}, which this run does not have")
