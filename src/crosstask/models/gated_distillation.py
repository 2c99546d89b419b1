"""MTI-Net's distillation at one scale: PAD-Net's gated messages, added to the target's features.

Sources: Xu et al., PAD-Net, CVPR 2018 (distillation C); Vandenhende et al., MTI-Net, ECCV 2020.
"""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.attention import SpatialGate
from crosstask.models.directions import Exchange


class GatedDistillation(Exchange):
    """``out_i = f_i + sum over j != i of conv_ij(f_j) * sigmoid(mask_ij(f_j))``.

    Both convolutions are 3x3 without bias, C to C, separate per ordered pair: 18 C^2 parameters
    a direction.

    Args:
        tasks: ordered task names; at least two.
        channels: width of every map.
        targets: tasks that read; all by default. The others are read only (auxiliary tasks).
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
        """Same keys, same shapes; all messages read the features before the exchange."""
        out = dict(features)
        for target in self.targets:
            for source, gate in cast(nn.ModuleDict, self.directions[target]).items():
                out[target] = out[target] + self.knock_out(gate(features[source]), source, target)
        return out
