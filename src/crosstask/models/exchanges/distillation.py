"""PAD-Net's distillation: gated messages between tasks, added up (Xu et al., CVPR 2018)."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.exchanges.xtam import SpatialGate


class Distillation(Exchange):
    """f_i + sum over j != i of conv3x3(f_j) * sigmoid(conv3x3'(f_j)), one gate per direction.

    Both convolutions keep the width and have no bias: 18 C^2 parameters per direction.

    Args:
        tasks: names, in order.
        channels: C, of every task's features.
        targets: tasks that read; all by default. The others are only read (auxiliary tasks) and
            pass unchanged.
    """

    def __init__(
        self, tasks: Sequence[str], channels: int, targets: Sequence[str] | None = None
    ) -> None:
        super().__init__(tasks)
        self.targets = self.tasks if targets is None else tuple(targets)
        self.directions = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: SpatialGate(channels, channels) for source in self.others(target)}
                )
                for target in self.targets
            }
        )

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        result = dict(features)
        for target in self.targets:
            total = features[target]
            gates = cast(nn.ModuleDict, self.directions[target])
            for source in self.others(target):
                message = gates[source](features[source], self.economical)
                total = total + self.knock_out(message, source, target)
            result[target] = total
        return result
