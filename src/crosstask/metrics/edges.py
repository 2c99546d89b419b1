"""Pixel-wise scores of binary maps."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.metrics.boundaries import BoundaryMetric
from crosstask.metrics.metric import TaskMetric, ratio

_BINS = 256


class EdgesMetric(TaskMetric):
    """F1 of the edge class over the dataset, pixel by pixel, at probability 0.5.

    `f1` = 2TP / (2TP + FP + FN), `precision`, `recall`; `best_f1` at the best of 256 thresholds.
    No tolerance, unless `boundary` adds `ods_f`, `ois_f` and `ap`. `f1` is 0 for a predictor that
    never fires (its `precision` is NaN).

    Protocol "released": `f1` is the mean of the edge's and the background's F1, which is 0.487
    for a predictor that never fires on 5 % edges; `edge_f1` is then the edge's own.

    Args:
        void: label that does not count.
        boundary: a `BoundaryMetric` that sees the same maps and adds its values. It costs seconds
            per image: for the final evaluation, not for validation while training.
    """

    edges: Tensor
    background: Tensor
    hits: Tensor
    alarms: Tensor

    def __init__(
        self,
        protocol: str = "correct",
        void: float = 255,
        boundary: BoundaryMetric | None = None,
    ) -> None:
        super().__init__()
        self.protocol, self.void, self.boundary = protocol, void, boundary
        self.add_counts(edges=(_BINS,), background=(_BINS,), hits=(), alarms=())

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"]
    ) -> None:
        """Probability and truth (0 or 1)."""
        if self.boundary is not None:
            self.boundary.update(prediction, target)
        known = target != self.void
        guess, truth = prediction[known].float(), target[known] > 0.5
        fired = guess > 0.5
        self.hits += (fired & truth).sum()
        self.alarms += (fired & ~truth).sum()
        index = (guess * _BINS).long().clamp(0, _BINS - 1)
        pairs = torch.bincount(index + _BINS * truth.long(), minlength=2 * _BINS)
        self.background += pairs[:_BINS]
        self.edges += pairs[_BINS:]

    def compute(self) -> dict[str, Tensor]:
        positives, negatives = self.edges.sum(), self.background.sum()
        misses, rejections = positives - self.hits, negatives - self.alarms
        edge_f1 = ratio(2 * self.hits, 2 * self.hits + self.alarms + misses)
        values = {
            "f1": edge_f1,
            "precision": ratio(self.hits, self.hits + self.alarms),
            "recall": ratio(self.hits, positives),
            "best_f1": self._curve()[2].nan_to_num(-1).max() if positives else edge_f1,
        }
        if self.protocol == "released":
            background_f1 = ratio(2 * rejections, 2 * rejections + self.alarms + misses)
            values |= {"f1": (edge_f1 + background_f1) / 2, "edge_f1": edge_f1}
        if self.boundary is not None:
            values |= self.boundary.compute()
        return values

    def reset(self) -> None:
        super().reset()
        if self.boundary is not None:
            self.boundary.reset()

    def _curve(self) -> tuple[Tensor, Tensor, Tensor]:
        """Precision, recall and F1 of firing at probability >= k / 256."""
        hits = self.edges.flip(0).cumsum(0).flip(0)
        fired = hits + self.background.flip(0).cumsum(0).flip(0)
        positives = self.edges.sum()
        return (
            ratio(hits, fired),
            ratio(hits, positives.expand_as(hits)),
            ratio(2 * hits, fired + positives),
        )

    def details(self) -> dict[str, Any]:
        """`threshold`, `precision`, `recall`; None where a number is not defined."""
        precision, recall, _ = self._curve()
        clean = [[None if v != v else v for v in curve.tolist()] for curve in (precision, recall)]
        thresholds = [k / _BINS for k in range(_BINS)]
        return {"threshold": thresholds, "precision": clean[0], "recall": clean[1]}
