"""PAD-Net's distillation: gated messages between tasks, added up (Xu et al., CVPR 2018)."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.attention import SpatialGate
from crosstask.models.directions import Exchange


class Distillation(Exchange):
    """f_i + sum over j != i of conv3x3(f_j) * sigmoid(conv3x3'(f_j)), one gate per direction.

    Both convolutions keep the width and have no bias: 18 C^2 parameters per direction.

    Args:
        tasks: names, in order.
        channels: C, of every task's features.
    """

    def __init__(self, tasks: Sequence[str], channels: int) -> None:
        super().__init__(tasks)
        self.economical = True
        self.directions = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: SpatialGate(channels, channels) for source in self.others(target)}
                )
                for target in self.tasks
            }
        )

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        result = {}
        for target in self.tasks:
            total = features[target]
            gates = cast(nn.ModuleDict, self.directions[target])
            for source in self.others(target):
                message = gates[source](features[source], self.economical)
                total = total + self.knock_out(message, source, target)
            result[target] = total
        return result
