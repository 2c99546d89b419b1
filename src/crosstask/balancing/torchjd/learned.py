"""Scalarisers of TorchJD that learn a scale of each task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crosstask.balancing.torchjd.adapters import TorchJDScalarizer

# What the total has of each learned s, beside the scaled loss: UW + s / 2, IMTL-L - s.
SLOPES = {"UW": 0.5, "IMTLL": -1.0}


class LearnedScales(TorchJDScalarizer):
    """UW and IMTL-L: the term of s is there for tasks with labels only.

    Without it the scale of a task without labels would drift with that term alone. As in
    `crosstask.balancing.Uncertainty` the term counts once a step for every task that had a label in
    it, however the step's batches are accumulated.
    """

    labelled: Tensor

    def __init__(
        self, method: nn.Module, tasks: Sequence[str], weights: Mapping[str, float]
    ) -> None:
        super().__init__(method, tasks, weights)
        self.slope = SLOPES[type(method).__name__]
        self.register_buffer("labelled", torch.zeros(len(self.tasks)), persistent=False)

    def total(self, values: Tensor) -> Tensor:
        labelled = (values.detach() != 0).to(values.dtype)
        self.labelled = torch.maximum(self.labelled, labelled)
        terms = self.slope * self.learned[0]
        return super().total(values) - terms.sum() + (labelled * terms).detach().sum()

    @torch.no_grad()
    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        """The gradient of the term, once a step for every task that had a label in it."""
        gradient = self.learned[0].grad
        if gradient is not None:
            gradient += self.slope * self.labelled
        self.labelled.zero_()
