"""Constant weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from crosstask.balancing.balancer import Balancer, check_weights, weighted


class FixedWeights(Balancer):
    """Constant weights: L = sum_t w_t L_t (the paper's grid-searched weights by default).

    Args:
        weights: {task: weight}; a task without an entry weighs 1.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = check_weights(weights)

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(list(weighted(losses, self.weights).values())).sum()
