"""Boundaries as the field scores them: ODS-F, OIS-F and average precision."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from crosstask.metrics.matching import match
from crosstask.metrics.metric import TaskMetric
from crosstask.metrics.thinning import suppress, thin

Counts = NDArray[np.int64]
_LAYER_PIXELS = 30_000_000
"""Pixels of all thresholds that are matched at once: bounds the memory."""


@dataclass(frozen=True)
class BoundaryCounter:
    """Counts of one image at each threshold; without torch, to be sent to another process.

    Attributes:
        levels: the thresholds; others see `BoundaryMetric`.
    """

    tolerance: float
    levels: NDArray[Any]
    thinning: bool
    thin_target: bool
    nms: bool
    void: float

    def __call__(self, probability: NDArray[Any], truth: NDArray[Any]) -> Counts:
        """(thresholds, 4): true pixels found, true pixels, predicted pixels right, predicted."""
        if self.nms:
            probability = suppress(probability)
        void = (truth == self.void).any(0)
        truth = truth == 1
        if self.thin_target:
            truth = thin(truth)
        truth = truth & ~void
        size = [(probability >= level).sum() for level in self.levels]
        _, first, same = np.unique(size, return_index=True, return_inverse=True)
        chunk = max(1, _LAYER_PIXELS // probability.size)
        counts = [
            self._count_levels(probability, truth, void, self.levels[first[k : k + chunk]])
            for k in range(0, len(first), chunk)
        ]
        return np.concatenate(counts)[same]

    def _count_levels(
        self, probability: NDArray[Any], truth: NDArray[Any], void: NDArray[Any], levels: Any
    ) -> Counts:
        maps = probability >= levels[:, None, None]
        if self.thinning:
            maps = thin(maps)
        maps &= ~void
        distance = self.tolerance * float(np.hypot(*probability.shape))
        right = np.zeros_like(maps)
        found = np.zeros(len(levels), dtype=np.int64)
        for annotation in truth:
            matched, hit = match(maps, annotation, distance)
            right |= matched
            found += hit.sum((1, 2))
        total = np.full(len(levels), truth.sum())
        return np.stack([found, total, right.sum((1, 2)), maps.sum((1, 2))], axis=1)


class BoundaryMetric(TaskMetric):
    """Boundary detection with a tolerance (Martin et al., PAMI 2004; the BSDS benchmark).

    A predicted and a true pixel may be paired one to one if they lie within the tolerance. At each
    threshold, precision is the share of predicted pixels that have a partner in any annotator's
    map, recall the share of true pixels, summed over annotators, that have one. Counts are summed
    over the dataset.

    `ods_f`: F at the best threshold of the dataset (linear between thresholds); `ois_f`: counts
    summed at each image's own best threshold; `ap`: area under the precision-recall curve.

    The pairs are a largest matching, found without the random outliers and the distance costs of
    the Matlab original; which of several largest matchings is taken differs.

    Args:
        tolerance: largest distance as a fraction of the image's diagonal: 0.0075 for BSDS and
            PASCAL, 0.011 for NYUD.
        thresholds: their number; k / (number + 1) are used.
        thinning: thin the thresholded prediction to lines one pixel wide.
        thin_target: the same for the truth. Set it for edges that are two pixels wide, as those
            from label boundaries; each line would have to be found twice otherwise.
        nms: suppress non-maxima of the probability before the thresholds (then without thinning:
            the SEISM tool of the multi-task literature).
        void: label that does not count; predictions there are dropped.
    """

    counts: Tensor
    best: Tensor

    def __init__(
        self,
        tolerance: float = 0.0075,
        thresholds: int = 99,
        thinning: bool = True,
        thin_target: bool = False,
        nms: bool = False,
        void: float = 255,
    ) -> None:
        super().__init__()
        if not 0 < tolerance < 1:
            raise ValueError(f"`tolerance` is {tolerance}; expected a fraction of the diagonal")
        if thresholds < 1:
            raise ValueError(f"`thresholds` is {thresholds}; expected at least 1")
        self.levels = np.arange(1, thresholds + 1) / (thresholds + 1)
        self.counter = BoundaryCounter(tolerance, self.levels, thinning, thin_target, nms, void)
        self.add_counts(counts=(thresholds, 4), best=(4,))

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b a h w"]
    ) -> None:
        """Probability and truth (0 or 1, void 255), one channel per annotator.

        An image with fewer annotators than the batch is filled up with maps that are all void.
        """
        for guess, truths in zip(prediction, target, strict=True):
            pair = self.prepared(guess, truths)
            if pair is not None:
                self.add(self.counter(*pair))

    def prepared(
        self, guess: Float[Tensor, "1 h w"], truths: Float[Tensor, "a h w"]
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """What `counter` takes of one image, maybe in another process; None without a label."""
        truth = truths.detach().cpu().numpy()
        known = (truth != self.counter.void).any((1, 2))
        if not known.any():
            return None
        return guess[0].detach().double().cpu().numpy(), truth[known]

    def add(self, counts: Counts) -> None:
        """The counts of one image, as `update` would have added them."""
        self._update_count, self._computed = self._update_count + 1, None  # torchmetrics' own
        self.counts += torch.from_numpy(counts).to(self.counts.device)
        _, _, f = _scores(counts)
        self.best += torch.from_numpy(counts[np.argmax(f)]).to(self.best.device)

    def compute(self) -> dict[str, Tensor]:
        counts = self.counts.cpu().numpy()
        recall, precision, _ = _scores(counts)
        if counts[:, 1].sum() == 0:
            names = ("ods_f", "ods_threshold", "ods_precision", "ods_recall", "ois_f", "ap")
            values = dict.fromkeys(names, float("nan"))
        else:
            f, level, p, r = _best_between(self.levels, recall, precision)
            ois = float(_scores(self.best.cpu().numpy()[None])[2][0])
            values = {"ods_f": f, "ods_threshold": level, "ods_precision": p, "ods_recall": r}
            values |= {"ois_f": ois, "ap": _area(recall, precision)}
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.counts.device)
            for name, value in values.items()
        }

    def details(self) -> dict[str, Any]:
        """`threshold`, `precision`, `recall` of the dataset."""
        recall, precision, _ = _scores(self.counts.cpu().numpy())
        return {
            "threshold": self.levels.tolist(),
            "precision": precision.tolist(),
            "recall": recall.tolist(),
        }


def _scores(counts: Counts) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Recall, precision and F of rows of counts; 0 where nothing is there to divide by."""
    recall = counts[:, 0] / np.maximum(counts[:, 1], 1)
    precision = counts[:, 2] / np.maximum(counts[:, 3], 1)
    return recall, precision, _f(recall, precision)


def _f(recall: NDArray[Any], precision: NDArray[Any]) -> NDArray[Any]:
    total = recall + precision
    return 2 * recall * precision / np.where(total == 0, 1, total)


def _best_between(
    levels: NDArray[Any], recall: NDArray[Any], precision: NDArray[Any]
) -> tuple[float, float, float, float]:
    """Best F with its threshold, precision and recall, linear between neighbouring thresholds."""
    part = np.linspace(0, 1, 100)[:, None]
    level, r, p = (
        np.concatenate([v[None, :1], v[1:] * part + v[:-1] * (1 - part)], axis=None)
        for v in (levels, recall, precision)
    )
    f = _f(r, p)
    best = int(np.argmax(f))
    return float(f[best]), float(level[best]), float(p[best]), float(r[best])


def _area(recall: NDArray[Any], precision: NDArray[Any]) -> float:
    """Precision summed over recall 0, 0.01, ..., 1, each weighing 0.01; 0 outside the curve."""
    places, index = np.unique(recall, return_index=True)
    if len(places) < 2:
        return 0.0
    at = np.linspace(0, 1, 101)
    return float(np.interp(at, places, precision[index], left=0, right=0).sum() * 0.01)
