"""Linear attention across scales of one task: SCA-MTL's CSAM.

Source: Kim, Choi and Min, SCA-MTL, ICIP 2022 (arXiv 2209.02518).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.layers.linear_attention import LinearCrossAttention, pointwise


class ScaleAttention(nn.Module):
    """CSAM: each scale reads every coarser scale; nothing flows from fine to coarse.

    ``out_k = concat over l > k of [x_k, CAM_k(x_k, adapt_kl(x_l))]``, with one attention per query
    scale shared by its sources and one 1x1-BN adapter per (k, l). Sources keep their own size. Not
    recursive: every source is an input, not an output. Scales that do not query pass unchanged.

    Args:
        channels: width of each scale, fine to coarse.
        queries: indices of the scales that read; all but the coarsest by default.

    Attributes:
        out_channels: width of each output: ``2 C_k`` times the number of coarser scales.
    """

    def __init__(self, channels: Sequence[int], queries: Sequence[int] | None = None) -> None:
        super().__init__()
        count = len(channels)
        self.queries = tuple(range(count - 1)) if queries is None else tuple(queries)
        self.attention = nn.ModuleDict(
            {str(k): LinearCrossAttention(channels[k]) for k in self.queries}
        )
        self.adapt = nn.ModuleDict(
            {
                f"{level}_to_{k}": pointwise(channels[level], channels[k], relu=False)
                for k in self.queries
                for level in range(k + 1, count)
            }
        )
        self.out_channels = tuple(
            2 * width * (count - 1 - k) if k in self.queries else width
            for k, width in enumerate(channels)
        )

    def read(self, k: int, own: Tensor, coarser: Sequence[Tensor]) -> Tensor:
        """The output of query scale ``k`` alone, from its map and all coarser ones."""
        parts = []
        for level, source in enumerate(coarser, k + 1):
            source = self.adapt[f"{level}_to_{k}"](source)
            parts += [own, self.attention[str(k)](own, source)]
        return torch.cat(parts, 1)

    def forward(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b _ _ _"]]:
        """Maps fine to coarse in, maps fine to coarse out, each at its own size."""
        return [
            self.read(k, own, features[k + 1 :]) if k in self.queries else own
            for k, own in enumerate(features)
        ]
