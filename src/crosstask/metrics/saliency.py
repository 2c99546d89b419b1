"""Scores of salient object detection."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.metrics.metric import TaskMetric, ratio

_BETA = 0.3


class SaliencyMetric(TaskMetric):
    """Saliency at the best threshold, as the two protocols of the multi-task literature have it.

    `max_iou`: intersection over union of the salient pixels, averaged over images, at the best of
    15 thresholds 0.2 ... 0.9; `max_f_image`: F of precision and recall averaged over images, at
    the same thresholds (ASTMT, MTI-Net, SCA-MTL). `max_f`: F of the counts of the whole dataset at
    the best of 19 thresholds 0.05 ... 0.95 (ATRC, InvPT). F weighs with beta^2 = 0.3. The numbers
    of both protocols are not comparable.

    Where nothing is predicted in an image, its precision (and IoU) is 1 if nothing is salient and
    0 otherwise; the recall of an image without salient pixels is 1.

    Args:
        void: label that does not count; an image that is all void is left out.
    """

    counts: Tensor
    sums: Tensor
    images: Tensor

    def __init__(self, void: float = 255) -> None:
        super().__init__()
        self.void = void
        self.dataset_levels = torch.linspace(0.05, 0.95, 19, dtype=torch.float64).tolist()
        self.image_levels = torch.linspace(0.2, 0.9, 15, dtype=torch.float64).tolist()
        self.add_counts(counts=(19, 3), images=())
        self.add_sums(sums=(15, 3))

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"]
    ) -> None:
        """Probability and truth (0 or 1)."""
        for guess, truth in zip(prediction, target, strict=True):
            known = truth != self.void
            if not bool(known.any()):
                continue
            value, salient = guess[known].double(), truth[known] > 0.5
            self.images += 1
            self.counts += self._count(value, salient, self.dataset_levels)
            hits, fired, there = self._count(value, salient, self.image_levels).unbind(1)
            empty = (there == 0).double()
            shares = [
                torch.where(below == 0, fallback, hits / below.clamp_min(1))
                for below, fallback in (
                    (fired + there - hits, torch.ones_like(empty)),
                    (fired, empty),
                    (there, torch.ones_like(empty)),
                )
            ]
            self.sums += torch.stack(shares, dim=1)

    def _count(self, value: Tensor, salient: Tensor, levels: list[float]) -> Tensor:
        """(thresholds, 3): hits, predicted and true pixels."""
        rows = []
        for level in levels:
            fired = value > level
            rows.append(torch.stack([(fired & salient).sum(), fired.sum(), salient.sum()]))
        return torch.stack(rows)

    def compute(self) -> dict[str, Tensor]:
        iou, precision, recall = ratio(self.sums, self.images).unbind(1)
        dataset_precision, dataset_recall = self._curve()
        f = _f_measure(dataset_precision.nan_to_num(0), dataset_recall)
        nothing = torch.where(self.images > 0, 0.0, torch.nan).double()
        return {
            "max_iou": iou.max() + nothing,
            "max_f": f.nan_to_num(0).max() + nothing,
            "max_f_image": _f_measure(precision, recall).max() + nothing,
        }

    def _curve(self) -> tuple[Tensor, Tensor]:
        hits, fired, there = self.counts.unbind(1)
        return ratio(hits, fired), ratio(hits, there)

    def details(self) -> dict[str, Any]:
        """`threshold`, `precision`, `recall` of the dataset; None where not defined."""
        clean = [[None if v != v else v for v in curve.tolist()] for curve in self._curve()]
        return {"threshold": self.dataset_levels, "precision": clean[0], "recall": clean[1]}


def _f_measure(precision: Tensor, recall: Tensor) -> Tensor:
    below = _BETA * precision + recall
    top = (1 + _BETA) * precision * recall
    return torch.where(below == 0, 0.0, top / torch.where(below == 0, 1.0, below))
