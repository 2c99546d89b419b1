"""Angles between predicted and true surface normals."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from crosstask.metrics.metric import TaskMetric, ratio

_STEP = 0.01
_NODES = 18_001
_PIXEL = 2**20  # shares of a pixel are counted as whole numbers: they add up alike in any order
_LIMITS = {"within_11": 11.25, "within_22": 22.5, "within_30": 30.0}


class NormalsMetric(TaskMetric):
    """Angular errors in degrees, pooled over the labelled pixels of the dataset.

    `mean`, `rmse`, `median` (good to 0.01 degree), and `within_11`, `within_22`, `within_30` = share
    below 11.25, 22.5 and 30 degrees. The angle is 2 atan2(|p - t|, |p + t|) of unit vectors.

    The median comes from a histogram at nodes 0.01 degree apart, where each pixel is divided between
    its two neighbouring nodes: rounding in the network, which differs with the batch and the number
    of processes, then moves it no more than the angles themselves.

    Protocol "released" follows the code published with DenseMTL, defects included: the norms are
    taken over the image's height instead of the vector, the prediction is not normalised first,
    void pixels count, and the numbers are means over images of means over (channel, column)
    entries (median: the mean of the images' medians). A uniform error of 10 degrees reads about
    16.6.
    """

    count: Tensor
    total: Tensor
    squares: Tensor
    within: Tensor
    histogram: Tensor
    nodes: Tensor
    images: Tensor
    released: Tensor

    def __init__(self, protocol: str = "correct") -> None:
        super().__init__()
        self.protocol = protocol
        self.add_counts(count=(), within=(3,), histogram=(180,), nodes=(_NODES,), images=())
        self.add_sums(total=(), squares=(), released=(6,))

    def update(
        self, prediction: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]
    ) -> None:
        """Decoded and true normals; a target shorter than one half is void."""
        if self.protocol == "released":
            for guess, truth in zip(prediction, target, strict=True):
                self._add_released(guess.double(), truth.double())
        valid = (target * target).sum(1) > 0.25
        guess = prediction.movedim(1, -1)[valid].double()
        truth = target.movedim(1, -1)[valid].double()
        angle = degrees(F.normalize(guess, dim=-1), F.normalize(truth, dim=-1), dim=-1)
        self.count += len(angle)
        self.total += angle.sum()
        self.squares += angle.square().sum()
        self.within += torch.stack([(angle < limit).sum() for limit in _LIMITS.values()])
        self.histogram += torch.bincount(angle.long().clamp(0, 179), minlength=180)
        position = angle / _STEP
        below = position.long().clamp(0, _NODES - 2)
        above = ((position - below) * _PIXEL).round()
        for index, share in ((below, _PIXEL - above), (below + 1, above)):
            self.nodes += torch.bincount(index, share, minlength=_NODES).long()

    def _add_released(self, guess: Float[Tensor, "3 h w"], truth: Float[Tensor, "3 h w"]) -> None:
        angle = degrees(guess, truth, dim=1).flatten()
        shares = [(angle < limit).double().mean() for limit in _LIMITS.values()]
        self.images += 1
        self.released += torch.stack([angle.mean(), angle.square().mean(), angle.median(), *shares])

    def median(self) -> Float[Tensor, ""]:
        """Angle that half of the pixels stay below; linear within half a step of each node."""
        cumulative = self.nodes.cumsum(0)
        half = self.count.double() * _PIXEL / 2
        index = torch.searchsorted(cumulative.double(), half).clamp(max=_NODES - 1)
        before = cumulative[index] - self.nodes[index]
        inside = ratio(half - before, self.nodes[index])
        return ((index + inside - 0.5) * _STEP).clamp(0, 180)

    def compute(self) -> dict[str, Tensor]:
        if self.protocol == "released":
            mean, square, median, *shares = ratio(self.released, self.images)
            values = {"mean": mean, "median": median, "rmse": square.sqrt()}
            return values | dict(zip(_LIMITS, shares, strict=True))
        values = {
            "mean": ratio(self.total, self.count),
            "median": self.median(),
            "rmse": ratio(self.squares, self.count).sqrt(),
        }
        return values | dict(zip(_LIMITS, ratio(self.within, self.count), strict=True))

    def details(self) -> dict[str, Any]:
        """`histogram`: pixels per degree of true angular error, 0 to 180."""
        return {"histogram": self.histogram.tolist()}


def degrees(a: Float[Tensor, "*s"], b: Float[Tensor, "*s"], dim: int) -> Float[Tensor, "*r"]:
    """Angle between vectors along `dim`; exact near 0 and 180 degrees, for equal lengths only."""
    half = torch.atan2((a - b).norm(dim=dim), (a + b).norm(dim=dim))
    return torch.rad2deg(2 * half)
