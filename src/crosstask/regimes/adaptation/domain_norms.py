"""Batch-norm statistics of their own for each domain (AdaBN, Li et al. 2016)."""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class SourceStatistics(nn.Module):
    """Running statistics for the source domain; the network's own then belong to the target.

    Weights and biases of the norms stay shared. What is validated, saved and predicted with is
    the network as it is, with the target's statistics.

    Args:
        network: its batch norms get a second set of statistics.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for index, norm in enumerate(_norms(network)):
            for name in _STATISTICS:
                value = getattr(norm, name)
                if value is not None:
                    self.register_buffer(f"{name}_{index}", value.clone())

    @contextlib.contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """While this lasts, the network's norms use and update the source's statistics.

        Buffers are exchanged, not copied: a forward pass whose backward is still to come keeps
        its own.
        """
        self._exchange(network)
        try:
            yield
        finally:
            self._exchange(network)

    def _exchange(self, network: nn.Module) -> None:
        buffers: dict[str, Any] = self._buffers
        for index, norm in enumerate(_norms(network)):
            for name in _STATISTICS:
                key = f"{name}_{index}"
                if key in buffers:
                    norm._buffers[name], buffers[key] = buffers[key], norm._buffers[name]


def _norms(network: nn.Module) -> list[nn.Module]:
    kind = nn.modules.batchnorm._BatchNorm
    return [m for m in network.modules() if isinstance(m, kind) and m.track_running_stats]
