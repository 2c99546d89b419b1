"""Linear attention between two maps: the operator of SCA-MTL's CAM and of ATRC's global context.

Sources: Kim, Choi and Min, SCA-MTL, ICIP 2022 (arXiv 2209.02518); Bruggemann et al., ATRC,
ICCV 2021, which takes it from "Efficient attention" (Shen et al., WACV 2021).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.layers.full_precision import full_precision


def linear_attention(
    query: Float[Tensor, "b d n"], key: Float[Tensor, "b d m"], value: Float[Tensor, "b c m"]
) -> Float[Tensor, "b c n"]:
    """Row-normalised attention whose kernel is the plain dot product of non-negative features.

    ``out[p] = sum_r value[r] (query[p] . key[r]) / sum_r (query[p] . key[r])``, computed as
    ``(value key^T) query``, so no n x m matrix exists: cost is linear in n and in m, and the two
    maps may differ in size. Always float32, whatever autocast says: the denominator sums tens of
    thousands of terms.

    Args:
        query: non-negative features of the target's positions.
        key: non-negative features of the source's positions.
        value: what is averaged, at the source's positions.

    Returns:
        The weighted mean of ``value`` for every target position, in the dtype of ``value``.
    """
    with full_precision(query.device):
        keys = key.float()
        queries = query.float()
        context = value.float() @ keys.transpose(1, 2)
        normaliser = keys.sum(2, keepdim=True).transpose(1, 2) @ queries
        out = (context @ queries) / normaliser.clamp(min=1e-12)
    return out.to(value.dtype)


def pointwise(in_channels: int, out_channels: int, relu: bool = True) -> nn.Sequential:
    """1x1 convolution without bias (Xavier-uniform), batch norm and, by default, ReLU."""
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    nn.init.xavier_uniform_(convolution.weight)
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class LinearCrossAttention(nn.Module):
    """CAM: a target map reads a source map through linear attention.

    Query and key are ``softplus(BN conv ReLU BN conv)``, the value ``ReLU BN conv``; single head,
    no residual, no output projection. With one width C it has 5 C^2 + 10 C parameters.

    Args:
        channels: width of the attention and of the output.
        target_channels, source_channels: widths of the inputs; ``channels`` by default.
    """

    def __init__(
        self,
        channels: int,
        target_channels: int | None = None,
        source_channels: int | None = None,
    ) -> None:
        super().__init__()
        target_channels = target_channels or channels
        source_channels = source_channels or channels
        self.query = nn.Sequential(
            pointwise(target_channels, channels), pointwise(channels, channels, relu=False)
        )
        self.key = nn.Sequential(
            pointwise(source_channels, channels), pointwise(channels, channels, relu=False)
        )
        self.value = pointwise(source_channels, channels)

    def forward(
        self, target: Float[Tensor, "b ct h w"], source: Float[Tensor, "b cs hs ws"]
    ) -> Float[Tensor, "b c h w"]:
        """Returns what ``target`` reads of ``source``, at the size of ``target``."""
        query, key = self.kernel(target, source)
        value = self.value(source).flatten(2)
        read = linear_attention(query.flatten(2), key.flatten(2), value)
        return read.unflatten(2, target.shape[-2:])

    def kernel(
        self, target: Float[Tensor, "b ct h w"], source: Float[Tensor, "b cs hs ws"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c hs ws"]]:
        """Non-negative queries and keys, float32."""
        return F.softplus(self.query(target).float()), F.softplus(self.key(source).float())

    def row(
        self,
        target: Float[Tensor, "b ct h w"],
        source: Float[Tensor, "b cs hs ws"],
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """Weights with which one target position (row, column) reads the source; they sum to 1."""
        query, key = self.kernel(target, source)
        weights = torch.einsum("bc,bchw->bhw", query[..., pixel[0], pixel[1]], key)
        return weights / weights.sum((1, 2), keepdim=True).clamp(min=1e-12)
