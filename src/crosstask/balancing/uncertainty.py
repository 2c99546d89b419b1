"""Homoscedastic uncertainty."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crosstask.balancing.balancer import Balancer, check_weights, synchronised, weighted


class Uncertainty(Balancer):
    """Homoscedastic uncertainty (Kendall, Gal, Cipolla, CVPR 2018).

    L = sum_t exp(-s_t) w_t L_t + s_t / 2 with a learned log variance s_t per task. The sum is
    over the tasks that have labels in the batch, so an unlabelled task does not drift. Auxiliary
    losses are added as they are.

    Args:
        tasks: names of the tasks, in order.
        weights: optional constant weights applied before (they bring losses to one scale).
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.weights = check_weights(weights or {})
        self.log_variance = nn.Parameter(torch.zeros(len(self.tasks)))

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name, loss in weighted(synchronised(losses), self.weights).items():
            if name not in self.tasks:
                terms.append(loss)
                continue
            s = self.log_variance[self.tasks.index(name)]
            labelled = (loss.detach() != 0).to(loss.dtype)
            terms.append(torch.exp(-s) * loss + labelled * s / 2)
        return torch.stack(terms).sum()
