"""Attention by a kernel, linear in the positions (Katharopoulos et al., ICML 2020).

The kernel of a query and a key is phi(q) . phi(k) with phi(x) = elu(x) + 1. Everything in float32
at least, outside of autocast: the sums are over thousands of positions.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from crosstask.models.layers.full_precision import full_precision


def feature_map(x: Float[Tensor, "b c h w"], heads: int) -> Float[Tensor, "b heads n d"]:
    """phi of every position, by head."""
    return functional.elu(split_heads(x, heads)) + 1


def split_heads(x: Float[Tensor, "b c h w"], heads: int) -> Float[Tensor, "b heads n d"]:
    """The channels of every position, by head, in float32 at least."""
    x = x if x.dtype == torch.float64 else x.float()
    return x.reshape(x.shape[0], heads, x.shape[1] // heads, -1).transpose(-1, -2)


def read_summary(
    query: Float[Tensor, "b c h w"],
    context: Float[Tensor, "b heads d d"],
    normaliser: Float[Tensor, "b heads d"],
) -> Float[Tensor, "b c h w"]:
    """What every position reads of sources that are summed up.

    Args:
        context: sum over the source's positions p of phi(k_p) v_p^T.
        normaliser: sum over p of phi(k_p).
    """
    phi = feature_map(query, context.shape[1])
    weight = phi @ normaliser.unsqueeze(-1)
    attended = (phi @ context) / weight.clamp(min=1e-6)
    return attended.transpose(-1, -2).reshape(query.shape).to(query.dtype)


def kernel_row(
    query: Float[Tensor, "b c 1 1"], key: Float[Tensor, "b c hs ws"], heads: int
) -> Float[Tensor, "b n"]:
    """Weights of one query over the positions of one source, mean over the heads."""
    with full_precision(query.device):
        phi, kernel = feature_map(query, heads), feature_map(key, heads)
        weights = (phi @ kernel.transpose(-1, -2)).squeeze(-2)
        return (weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)).mean(1)
