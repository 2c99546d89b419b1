"""DWA where some batches have no labels of some task."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from crosstask.balancing.torchjd.adapters import TorchJDScalarizer

LABELLED = "labelled"


class DynamicWeightAverage(TorchJDScalarizer):
    """TorchJD's DWA (Liu, Johns, Davison, CVPR 2019), which compares the last two epochs.

    A task's loss of an epoch is its mean over the steps that had labels of it, not over all, or the
    weights would follow how often a task is labelled. An epoch without any leaves the task's rate
    as it is, and 1 before its second epoch with labels. Where every batch is labelled the numbers
    are TorchJD's own.

    Args:
        epoch: see `TorchJDScalarizer`.
    """

    counts: Tensor
    pending: Tensor
    seen: Tensor
    known: Tensor

    def __init__(
        self,
        method: nn.Module,
        tasks: Sequence[str],
        weights: Mapping[str, float],
        epoch: int | None = None,
    ) -> None:
        super().__init__(method, tasks, weights, epoch)
        zeros = torch.zeros(len(self.tasks))
        # Of this epoch: batches of steps with labels, by task. Those of the step that goes on are
        # pending, until one of its batches has labels.
        self.register_buffer("counts", zeros.clone(), persistent=False)
        self.register_buffer("pending", zeros.clone(), persistent=False)
        self.register_buffer("seen", zeros > 0, persistent=False)
        self.register_buffer("known", zeros > 0, persistent=False)  # an earlier epoch had labels

    def total(self, values: Tensor) -> Tensor:
        total = super().total(values)
        self.pending = self.pending + 1
        self.seen = self.seen | (values.detach() != 0)
        return total

    @torch.no_grad()
    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        self._end_step()

    def _end_step(self) -> None:
        self.counts = self.counts + torch.where(self.seen, self.pending, 0.0)
        self.pending, self.seen = torch.zeros_like(self.pending), torch.zeros_like(self.seen)

    @torch.no_grad()
    def end_epoch(self) -> None:
        self._end_step()
        method, counts = cast(Any, self.method), self.counts
        losses, batches = method._loss_sum, method._n_batches
        # Divided by the number as TorchJD does it where it is that of all batches: to the bit.
        average = torch.where(counts == batches, losses / batches, losses / counts.clamp(min=1))
        labelled, history = counts > 0, method._previous_averages
        last = history[-1] if history else torch.ones_like(average)
        newer = torch.where(labelled, average, last)
        older = torch.where(
            labelled, torch.where(self.known, last, average), (history or [last])[0]
        )
        method._previous_averages = [older, newer] if history else [newer]
        method._loss_sum, method._n_batches = None, 0
        self.known, self.counts = self.known | labelled, torch.zeros_like(counts)

    def get_extra_state(self) -> dict[str, Any]:
        own = {"counts": self.counts.detach().clone(), "known": self.known.detach().clone()}
        return super().get_extra_state() | {LABELLED: own}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state({key: value for key, value in state.items() if key != LABELLED})
        self.pending, self.seen = torch.zeros_like(self.pending), torch.zeros_like(self.seen)
        if LABELLED in state:
            own = state[LABELLED]
            self.counts = own["counts"].to(self.counts)
            self.known = own["known"].to(self.known.device)
            return
        # An older checkpoint, which counted every batch as labelled.
        method = cast(Any, self.method)
        self.counts = torch.full_like(self.counts, float(method._n_batches))
        self.known = torch.full_like(self.known, bool(method._previous_averages))
