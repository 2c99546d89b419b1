"""Homoscedastic uncertainty."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crosstask.balancing.balancer import Balancer, check_weights, synchronised, weighted


class Uncertainty(Balancer):
    """Homoscedastic uncertainty (Kendall, Gal, Cipolla, CVPR 2018).

    L = sum_t exp(-s_t) w_t L_t + s_t / 2 with a learned log variance s_t per task. The sum is
    over the tasks that have labels in the step, so an unlabelled task does not drift, however its
    batches are accumulated. Auxiliary losses are added as they are.

    Args:
        tasks: names of the tasks, in order.
        weights: optional constant weights applied before (they bring losses to one scale).
    """

    labelled: Tensor

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.weights = check_weights(weights or {})
        self.log_variance = nn.Parameter(torch.zeros(len(self.tasks)))
        self.register_buffer("labelled", torch.zeros(len(self.tasks)), persistent=False)

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name, loss in weighted(synchronised(losses), self.weights).items():
            if name not in self.tasks:
                terms.append(loss)
                continue
            place = self.tasks.index(name)
            s = self.log_variance[place]
            labelled = (loss.detach() != 0).to(loss.dtype)
            self.labelled[place] = torch.maximum(self.labelled[place], labelled.detach())
            terms.append(torch.exp(-s) * loss + (labelled * s / 2).detach())
        return torch.stack(terms).sum()

    @torch.no_grad()
    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        """The gradient of s_t / 2, once a step for every task that had a label in it."""
        if self.log_variance.grad is not None:
            self.log_variance.grad += self.labelled / 2
        self.labelled.zero_()
