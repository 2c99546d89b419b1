"""Linear attention across tasks at one scale: SCA-MTL's CTAM, and its all-pairs variant.

Source: Kim, Choi and Min, SCA-MTL, ICIP 2022 (arXiv 2209.02518).
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.exchanges.base import Exchange
from crosstask.models.layers.linear_attention import LinearCrossAttention, pointwise
from crosstask.models.layers.residual_block import ResidualBlock


class TaskAttention(Exchange):
    """CTAM: every task reads every other task's map of the same scale.

    ``out_i = f_i + reduce(concat_j [f_i, CAM_ij(f_i, f_j)])`` over the other tasks j in order; one
    attention per ordered pair, one reducer (a residual block) shared by all targets. All reads are
    from the features before the exchange.

    Args:
        tasks: ordered task names; at least two.
        channels: width of every map.
        targets: tasks that read; all by default. The others are read only (auxiliary tasks).
    """

    has_attention = True

    def __init__(
        self, tasks: Sequence[str], channels: int, targets: Sequence[str] | None = None
    ) -> None:
        super().__init__(tasks)
        self.targets = self.tasks if targets is None else tuple(targets)
        self.directions = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: LinearCrossAttention(channels) for source in self.others(target)}
                )
                for target in self.targets
            }
        )
        self.reduce = ResidualBlock(2 * channels * (len(self.tasks) - 1), channels, momentum=0.01)

    def direction(self, source: str, target: str) -> LinearCrossAttention:
        """The module of one direction."""
        return cast(LinearCrossAttention, cast(nn.ModuleDict, self.directions[target])[source])

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Same keys, same shapes."""
        out = dict(features)
        for target in self.targets:
            own = features[target]
            parts = []
            for source in self.others(target):
                read = self.direction(source, target)(own, features[source])
                parts += [own, self.knock_out(read, source, target)]
            out[target] = own + self.reduce(torch.cat(parts, 1))
        return out

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        return self.direction(source, target).row(features[target], features[source], pixel)


class AllPairsAttention(Exchange):
    """Every (task, scale) reads every other (task, scale) directly: what SCA-MTL avoids.

    With M tasks and K scales M K (M K - 1) attentions; the same residual form as
    :class:`TaskAttention`, one reducer per target scale. A source of another scale passes a 1x1
    convolution with batch norm to the target's width first and keeps its own size.

    Args:
        tasks: ordered task names; at least two.
        channels: width of each scale.
    """

    def __init__(self, tasks: Sequence[str], channels: Sequence[int]) -> None:
        super().__init__(tasks)
        self.channels = tuple(channels)
        nodes = [(task, scale) for scale in range(len(channels)) for task in self.tasks]
        self.pairs = [(to, by) for to in nodes for by in nodes if to != by]
        self.adapt = nn.ModuleList(
            pointwise(channels[level], channels[k], relu=False) if k != level else nn.Identity()
            for (_, k), (_, level) in self.pairs
        )
        self.reads = nn.ModuleList(
            LinearCrossAttention(channels[k]) for (_, k), (_, _) in self.pairs
        )
        sources = len(nodes) - 1
        self.reduce = nn.ModuleList(
            ResidualBlock(2 * width * sources, width, momentum=0.01) for width in channels
        )

    def forward(
        self, features: dict[str, list[Float[Tensor, "b _ _ _"]]]
    ) -> dict[str, list[Float[Tensor, "b _ _ _"]]]:
        """``{task: [map of each scale]}`` in the order of ``channels``; same keys and shapes."""
        parts: dict[tuple[str, int], list[Tensor]] = {}
        for pair, adapt, read in zip(self.pairs, self.adapt, self.reads, strict=True):
            (target, k), (source, level) = pair
            own = features[target][k]
            message = read(own, adapt(features[source][level]))
            if source != target:
                message = self.knock_out(message, source, target, f"{level} to {k}")
            parts.setdefault((target, k), []).extend([own, message])
        return {
            task: [
                features[task][k] + self.reduce[k](torch.cat(parts[task, k], 1))
                for k in range(len(self.channels))
            ]
            for task in self.tasks
        }
