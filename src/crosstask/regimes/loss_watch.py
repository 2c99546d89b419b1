"""Losses that became NaN or infinite, noticed without waiting for the device at every step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from crosstask.evaluation.finite import NonFiniteError


class NonFiniteLossError(NonFiniteError):
    """A loss became NaN or infinite; says at which step, in which task, on which samples."""


class LossWatch:
    """Remembers losses; looks at them at once on CPU, every 20 steps on a GPU.

    Looking waits for the device, which would cost a GPU its queue. Checkpoints call `check` before
    they write, so none holds the weights after a bad step.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, list[str], dict[str, Tensor]]] = []

    def see(self, step: int, losses: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        """The losses of a batch, by name.

        Raises:
            NonFiniteLossError: see `check`.
        """
        names = list(batch.get("name", []))
        self._pending.append((step, names, {k: v.detach() for k, v in losses.items()}))
        on_cpu = all(value.device.type == "cpu" for value in losses.values())
        if on_cpu or len(self._pending) >= 20:
            self.check()

    def check(self) -> None:
        """Looks at what was remembered.

        Raises:
            NonFiniteLossError: any loss since the last look was NaN or infinite.
        """
        pending, self._pending = self._pending, []
        for step, names, losses in pending:
            bad = [name for name, value in losses.items() if not torch.isfinite(value)]
            if bad:
                raise NonFiniteLossError(
                    f"the loss of {', '.join(bad)} is not finite at step {step}, on samples "
                    f"{', '.join(names)}; the last good checkpoint is kept. Lower the learning rate "
                    "(`--lr`), train in float32 (`--precision 32`), or look at these samples"
                )
