"""Metrics of a mixture by dataset: what a task scores on each set that labels it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchmetrics import Metric

from crosstask.data.samples import as_samples
from crosstask.tasks import Task


class SourceMetrics:
    """An accumulator for each (dataset, task), for tasks that several parts of a mixture label.

    Args:
        tasks: ordered tasks.
        dataset: a mixture; of another dataset nothing is kept.
    """

    def __init__(self, tasks: Sequence[Task], dataset: Dataset[Any]) -> None:
        self.metrics: dict[tuple[str, str], Metric] = {}
        for task in tasks:
            parts = [p for p in as_samples(dataset).parts if task.name in p.modalities]
            sources = dict.fromkeys(part.source for part in parts)
            if len(sources) > 1:
                self.metrics |= {(source, task.name): task.metric() for source in sources}

    @torch.no_grad()
    def update(self, predictions: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        """Takes in a batch of decoded predictions."""
        for (source, name), metric in self.metrics.items():
            rows = [i for i, own in enumerate(batch["source"]) if own == source]
            if rows:
                metric.update(predictions[name][rows].cpu(), batch[name][rows].cpu())

    def compute(self) -> dict[str, float]:
        """`{"camvid/segmentation/miou": ..., ...}`."""
        return {
            f"{source}/{name}/{key}": float(value)
            for (source, name), metric in self.metrics.items()
            for key, value in metric.compute().items()
        }
