"""GradNorm: gradients of one size, corrected by how fast each task learns."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crosstask.balancing.balancer import (
    Balancer,
    check_number,
    check_weights,
    mean_over_processes,
    synchronised,
    weighted,
)

SMALLEST_WEIGHT = 1e-3
# Where gradients are more than tenfold apart, a weight changes at most by this factor in a step.
FAR_APART, LARGEST_CHANGE = 10.0, 1.1


class GradNorm(Balancer):
    """GradNorm (Chen, Badrinarayanan, Lee, Rabinovich, ICML 2018).

    G_t = |grad_W v_t w_t L_t| is the size of a task's gradient in the last shared layer W, and
    r_t = (L_t / L_t(0)) / mean_s (L_s / L_s(0)) its inverse training rate (Eq. 1). The learned
    weights v descend sum_t |G_t - mean_s(G_s) r_t^alpha| (Eq. 2, the target held constant) and are
    rescaled to add up to the number of tasks. Here that sum is divided by mean_s(G_s), so that
    `lr` means the same whatever the losses' scale.

    As in the paper a step in v is as large as the task's gradient itself, so it overshoots where a
    gradient is large and its weight small: balanced weights swing by a factor of 5 where the sizes
    are 10 apart, and would lose the balance from about 20. Where the largest and the smallest size
    of a step are more than 10 apart, a weight therefore changes by a tenth at most, which the paper
    does not have; below that every step is the paper's.

    A task without labels in a step takes no part in it: its weight stays, and the others keep
    their sum. With accumulated batches and with several processes, G is that of the whole step.
    Cost: one backward pass to W per task.

    Args:
        tasks: names of the tasks, in order.
        weights: constant weights w applied before.
        alpha: 0 asks for equal gradients; larger pulls slow tasks harder (the paper: 1.5).
        lr: rate at which the weights v move.
    """

    compares_gradients = True
    value: Tensor
    initial: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        weights: Mapping[str, float] | None = None,
        alpha: float = 1.5,
        lr: float = 0.025,
    ) -> None:
        super().__init__()
        check_rates({"alpha": alpha, "lr": lr})
        self.tasks = tuple(tasks)
        self.weights = check_weights(weights or {})
        self.alpha, self.lr = alpha, lr
        self.register_buffer("value", torch.ones(len(self.tasks)))
        self.register_buffer("initial", torch.zeros(len(self.tasks)))
        self._rows: Tensor | None = None
        self._seen: Tensor | None = None

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name, loss in weighted(losses, self.weights).items():
            known = name in self.tasks
            terms.append(loss * self.value[self.tasks.index(name)] if known else loss)
        return torch.stack(terms).sum()

    def backward(
        self,
        total: Tensor,
        losses: Mapping[str, Tensor],
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
    ) -> None:
        scaled = weighted({t: losses[t] for t in self.tasks}, self.weights)
        layer = last_layer(shared)
        if layer is not None:
            rows = []
            for loss in scaled.values():
                (grad,) = torch.autograd.grad(
                    loss * scale, layer, retain_graph=True, allow_unused=True
                )
                rows.append(torch.zeros_like(layer) if grad is None else grad)
            stacked = torch.stack([row.detach().flatten() for row in rows]).float()
            self._rows = stacked if self._rows is None else self._rows + stacked
            values = torch.stack([v.detach().float() for v in synchronised(scaled).values()])
            self._seen = values * scale if self._seen is None else self._seen + values * scale
        super().backward(total, losses, shared, scale)

    @torch.no_grad()
    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        if self._rows is None or self._seen is None:
            return
        sizes = mean_over_processes(self._rows).norm(dim=1)
        seen, self._rows, self._seen = self._seen, None, None
        # no `if`: looking at the values would make a GPU wait
        new = (self.initial == 0) & (seen > 0)
        self.initial.copy_(torch.where(new, seen, self.initial))
        active = ((seen > 0) & (sizes > 0)).float()
        count = active.sum().clamp(min=1)
        rate = torch.where(self.initial > 0, seen / self.initial.clamp(min=1e-12), 0.0) * active
        rate = rate / (rate.sum() / count).clamp(min=1e-12)
        scaled = self.value * sizes
        mean = ((scaled * active).sum() / count).clamp(min=1e-12)
        direction = torch.sign(scaled - mean * rate**self.alpha) * sizes / mean * active
        moved = self._held(self.value - self.lr * direction, sizes, active > 0)
        moved = moved.clamp(min=SMALLEST_WEIGHT)
        kept = len(self.tasks) - (self.value * (1 - active)).sum()  # the sum of those that move
        moved = moved * kept / (moved * active).sum().clamp(min=1e-12)
        self.value.copy_(torch.where(active > 0, moved, self.value))

    def _held(self, moved: Tensor, sizes: Tensor, active: Tensor) -> Tensor:
        """The moved weights, near the old ones where the gradients' sizes are far apart."""
        largest = torch.where(active, sizes, 0.0).max()
        smallest = torch.where(active, sizes, torch.inf).min()
        held = moved.clamp(self.value / LARGEST_CHANGE, self.value * LARGEST_CHANGE)
        return torch.where(largest > FAR_APART * smallest, held, moved)


def last_layer(shared: Sequence[nn.Parameter]) -> nn.Parameter | None:
    """The last weight (not bias or norm) of the shared parameters; None if all are frozen."""
    return next((p for p in reversed(shared) if p.ndim > 1), None)


def check_rates(options: Mapping[str, Any]) -> dict[str, float]:
    """GradNorm's `alpha` and `lr`, those of them that are given.

    Raises:
        ValueError: one that is no finite number, or below its least.
    """
    known = {
        "alpha": ("a finite number from 0 up, for example 1.5", 0.0),
        "lr": ("a positive rate, for example 0.025", sys.float_info.min),
    }
    return {name: check_number(name, value, *known[name]) for name, value in options.items()}
