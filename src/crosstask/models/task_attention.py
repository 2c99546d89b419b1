"""Linear attention across tasks at one scale: SCA-MTL's CTAM, and its all-pairs variant.

Source: Kim, Choi and Min, SCA-MTL, ICIP 2022 (arXiv 2209.02518).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.linear_attention import LinearCrossAttention, pointwise
from crosstask.models.residual_block import ResidualBlock


class TaskAttention(nn.Module):
    """CTAM: every task reads every other task's map of the same scale.

    ``out_i = f_i + reduce(concat_j [f_i, CAM_ij(f_i, f_j)])`` over the other tasks j in order; one
    attention per ordered pair, one reducer (a residual block) shared by all targets. All reads are
    from the features before the exchange.

    Args:
        tasks: ordered task names; at least two.
        channels: width of every map.
    """

    def __init__(self, tasks: Sequence[str], channels: int) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.attention = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: LinearCrossAttention(channels) for source in tasks if source != target}
                )
                for target in tasks
            }
        )
        self.reduce = ResidualBlock(2 * channels * (len(self.tasks) - 1), channels, momentum=0.01)

    def forward(
        self, features: dict[str, Float[Tensor, "b c h w"]]
    ) -> dict[str, Float[Tensor, "b c h w"]]:
        """Same keys, same shapes."""
        out = {}
        for target in self.tasks:
            own = features[target]
            parts = []
            for source, attention in self.attention[target].items():  # type: ignore[operator]
                parts += [own, attention(own, features[source])]
            out[target] = own + self.reduce(torch.cat(parts, 1))
        return out


class AllPairsAttention(nn.Module):
    """Every (task, scale) reads every other (task, scale) directly: what SCA-MTL avoids.

    With M tasks and K scales M K (M K - 1) attentions; the same residual form as
    :class:`TaskAttention`, one reducer per target scale. A source of another scale passes a 1x1
    convolution with batch norm to the target's width first and keeps its own size.

    Args:
        tasks: ordered task names; at least two.
        channels: width of each scale.
    """

    def __init__(self, tasks: Sequence[str], channels: Sequence[int]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.channels = tuple(channels)
        nodes = [(task, scale) for scale in range(len(channels)) for task in self.tasks]
        self.pairs = [(to, by) for to in nodes for by in nodes if to != by]
        self.attention = nn.ModuleDict()
        self.adapt = nn.ModuleDict()
        for (target, k), (source, level) in self.pairs:
            name = f"{target}:{k}<{source}:{level}"
            self.attention[name] = LinearCrossAttention(channels[k])
            if k != level:
                self.adapt[name] = pointwise(channels[level], channels[k], relu=False)
        sources = len(nodes) - 1
        self.reduce = nn.ModuleList(
            ResidualBlock(2 * width * sources, width, momentum=0.01) for width in channels
        )

    def forward(
        self, features: dict[str, list[Float[Tensor, "b _ _ _"]]]
    ) -> dict[str, list[Float[Tensor, "b _ _ _"]]]:
        """``{task: [map of each scale]}`` in the order of ``channels``; same keys and shapes."""
        parts: dict[tuple[str, int], list[Tensor]] = {}
        for (target, k), (source, level) in self.pairs:
            name = f"{target}:{k}<{source}:{level}"
            own, other = features[target][k], features[source][level]
            if k != level:
                other = self.adapt[name](other)
            parts.setdefault((target, k), []).extend([own, self.attention[name](own, other)])
        return {
            task: [
                features[task][k] + self.reduce[k](torch.cat(parts[task, k], 1))
                for k in range(len(self.channels))
            ]
            for task in self.tasks
        }
