"""Which parts of a network stay as they are in training."""

from collections.abc import Sequence
from typing import cast

from torch import nn

from crosstask.models.encoders.encoder import Encoder


def pretrained_parts(network: nn.Module) -> list[nn.Module]:
    """What `freeze` means by "encoder"; the whole encoder where it declares no parts."""
    encoder = cast(nn.Module, network.encoder)
    inside = [m for m in encoder.modules() if isinstance(m, Encoder)]
    return [part for m in inside for part in m.pretrained_parts()] or [encoder]


def check_freezing(
    network: nn.Module, freeze: Sequence[str], unfreeze_at: int | None, steps: int
) -> None:
    """Before training, see `crosstask.regimes.regime.Regime`.

    Raises:
        ValueError: an unknown part, or a step at which nothing could be unfrozen.
    """
    unknown = [f for f in freeze if f not in ("encoder", "norms")]
    if unknown:
        raise ValueError(f"`freeze` is {unknown}; expected 'encoder' and/or 'norms'")
    if unfreeze_at is None:
        return
    if "encoder" not in freeze or not 0 < unfreeze_at < steps:
        raise ValueError(
            f"`unfreeze_at` is {unfreeze_at}; expected a step from 1 to {steps - 1} of a run with a "
            "frozen encoder; add `--freeze encoder`, or leave it out"
        )
    if any(m.frozen for m in network.modules() if isinstance(m, Encoder)):
        raise ValueError(
            f"`unfreeze_at` is {unfreeze_at}, but this architecture keeps its encoder frozen itself; "
            "leave it out, or take another architecture"
        )
