"""Trivial predictors: what is reached without looking at the image."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F


class ConstantPredictor(ABC):
    """Fitted on training labels, predicts the same for every image."""

    @abstractmethod
    def update(self, target: Shaped[Tensor, "b *t"]) -> None:
        """Takes in a batch of training labels; void pixels do not count."""

    @abstractmethod
    def predict(self, target: Shaped[Tensor, "b *t"]) -> Shaped[Tensor, "b *t"]:
        """A decoded prediction of the shape of `target`, whose values are not used."""


class MostFrequentClass(ConstantPredictor):
    """Predicts the class with most labelled pixels everywhere."""

    def __init__(self, classes: int, void: int = 255) -> None:
        self.void = void
        self.counts = torch.zeros(classes, dtype=torch.int64)

    def update(self, target: Int[Tensor, "b h w"]) -> None:
        labels = target[target != self.void].long().cpu()
        self.counts += torch.bincount(labels, minlength=len(self.counts))

    def predict(self, target: Int[Tensor, "b h w"]) -> Int[Tensor, "b h w"]:
        return torch.full_like(target, int(self.counts.argmax()), dtype=torch.int64)


class MeanMap(ConstantPredictor):
    """Predicts, at each pixel, the mean of the labels seen there.

    The map has the size of the first target; labels of another size are brought to it (nearest),
    predictions of another size from it (bilinear). Pixels never labelled get the overall mean.

    Args:
        channels: of the target.
        valid: target -> labelled pixels (B,1,H,W).
        empty: value where no label was seen at all.
        finish: applied to the prediction, e.g. to make vectors unit again.
    """

    def __init__(
        self,
        channels: int,
        valid: Callable[[Tensor], Tensor],
        empty: tuple[float, ...],
        finish: Callable[[Tensor], Tensor] = lambda value: value,
    ) -> None:
        self.channels, self.valid, self.finish = channels, valid, finish
        self.empty = torch.tensor(empty, dtype=torch.float64).view(1, channels, 1, 1)
        self.total: Tensor | None = None
        self.count: Tensor | None = None

    def update(self, target: Float[Tensor, "b c h w"]) -> None:
        valid: Bool[Tensor, "b 1 h w"] = self.valid(target)
        values = torch.where(valid, target, 0.0).double().cpu()
        weights = valid.double().cpu()
        if self.total is None or self.count is None:
            self.total = torch.zeros(1, self.channels, *target.shape[-2:], dtype=torch.float64)
            self.count = torch.zeros(1, 1, *target.shape[-2:], dtype=torch.float64)
        size = tuple(self.total.shape[-2:])
        if tuple(values.shape[-2:]) != size:
            values, weights = (F.interpolate(x, size=size) for x in (values, weights))
        self.total += values.sum(0, keepdim=True)
        self.count += weights.sum(0, keepdim=True)

    def predict(self, target: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        height, width = target.shape[-2:]
        if self.total is None or self.count is None or self.count.sum() == 0:
            mean = self.empty.expand(1, self.channels, height, width)
        else:
            overall = self.total.sum((2, 3), keepdim=True) / self.count.sum()
            mean = torch.where(self.count > 0, self.total / self.count.clamp_min(1), overall)
            if mean.shape[-2:] != (height, width):
                mean = F.interpolate(mean, size=(height, width), mode="bilinear")
        mean = self.finish(mean).to(target.device, torch.float32)
        return mean.expand(len(target), -1, -1, -1)
