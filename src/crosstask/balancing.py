"""Balancing: from one loss per task to the gradients of shared and task-specific parameters.

Two kinds meet in one small interface. A *scalariser* weighs the losses and lets autograd do the
rest (`combine`). An *aggregator* looks at each task's gradient with respect to the shared
parameters and combines those (`backward`).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crosstask.tasks import Task, paper_weights


class Balancer(nn.Module):
    """Turns `{task: loss}` into gradients.

    `combine` gives the number that is logged and, for scalarisers, differentiated. `backward`
    fills the `.grad` of every parameter; `scale` is what the trainer multiplies gradients with
    (one over the number of accumulated batches).
    """

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of the (weighted) losses, a scalar."""
        raise NotImplementedError

    def backward(
        self,
        total: Tensor,
        losses: Mapping[str, Tensor],
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
    ) -> None:
        """Default: plain back-propagation of the total."""
        (total * scale).backward()


class FixedWeights(Balancer):
    """Constant weights: L = sum_t w_t L_t (the paper's grid-searched weights by default).

    Args:
        weights: {task: weight}; a task without an entry weighs 1.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        negative = {name: w for name, w in weights.items() if w < 0}
        if negative:
            raise ValueError(f"`weights` is {negative}; expected non-negative numbers")
        self.weights = dict(weights)

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(
            [self.weights.get(name, 1.0) * loss for name, loss in losses.items()]
        ).sum()


class Uncertainty(Balancer):
    """Homoscedastic uncertainty (Kendall, Gal, Cipolla, CVPR 2018).

    L = sum_t exp(-s_t) w_t L_t + s_t / 2 with a learned log variance s_t per task. The sum is
    over the tasks that have labels in the batch, so an unlabelled task does not drift.

    Args:
        tasks: names of the tasks, in order.
        weights: optional constant weights applied before (they bring losses to one scale).
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.weights = dict(weights or {})
        self.log_variance = nn.Parameter(torch.zeros(len(self.tasks)))

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name, loss in losses.items():
            if name not in self.tasks:  # auxiliary losses keep their own scale
                terms.append(loss)
                continue
            s = self.log_variance[self.tasks.index(name)]
            labelled = (loss.detach() != 0).to(loss.dtype)
            terms.append(torch.exp(-s) * self.weights.get(name, 1.0) * loss + labelled * s / 2)
        return torch.stack(terms).sum()


METHODS = ("paper", "equal", "uncertainty")


def create_balancer(name: str, tasks: Sequence[Task]) -> Balancer:
    """The balancer behind `--balancing NAME`.

    "paper": the published weights of the task set (see `crosstask.tasks.paper_weights`);
    "equal": every loss weighs 1; "uncertainty": learned, on top of the published weights.
    """
    weights = paper_weights(tasks)
    if name == "paper":
        return FixedWeights(weights)
    if name == "equal":
        return FixedWeights({})
    if name == "uncertainty":
        return Uncertainty([task.name for task in tasks], weights)
    raise ValueError(f"`balancing` is {name!r}; expected one of {', '.join(METHODS)}")
