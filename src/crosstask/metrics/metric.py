"""What all metrics of this package share."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class TaskMetric(Metric, ABC):
    """Accumulates sums over a dataset: any batching, any number of processes, same result.

    States are int64 counts and float64 sums that add up. A value without any labelled pixel is NaN.
    """

    is_differentiable = False
    full_state_update = False

    def add_sums(self, **shapes: tuple[int, ...]) -> None:
        """float64 states that start at zero and add up over processes."""
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add_counts(self, **shapes: tuple[int, ...]) -> None:
        """int64 states that start at zero and add up over processes."""
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """JSON-safe curves and tables behind the numbers, for a report."""


def ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """top / bottom in float64, NaN where bottom is 0."""
    top, bottom = top.double(), bottom.double()
    nan = torch.full_like(bottom, torch.nan)
    return torch.where(bottom == 0, nan, top / torch.where(bottom == 0, 1.0, bottom))
