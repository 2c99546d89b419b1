"""ATRC's relational contexts other than the global one: labels as tokens, and the neighbourhood.

Source: Bruggemann et al., "Exploring relational context for multi-task dense prediction", ICCV
2021. The global context is :class:`~crosstask.models.layers.linear_attention.LinearCrossAttention`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crosstask.models.layers.full_precision import full_precision
from crosstask.models.layers.linear_attention import pointwise


def label_tokens(
    features: Float[Tensor, "b c h w"], label_logits: Float[Tensor, "b n h w"]
) -> Float[Tensor, "b c n"]:
    """One token per label: the mean of the features weighted by the spatial softmax of its logit."""
    with full_precision(features.device):
        weights = label_logits.flatten(2).float().softmax(2)
        tokens = features.flatten(2).float() @ weights.transpose(1, 2)
    return tokens.to(features.dtype)


def neighbourhood_attention(
    query: Float[Tensor, "b d h w"],
    key: Float[Tensor, "b d h w"],
    value: Float[Tensor, "b c h w"],
    size: int,
) -> Float[Tensor, "b c h w"]:
    """Softmax attention of every position over its ``size x size`` neighbours, scale 1/sqrt(d).

    Neighbours outside the map do not count. Stores the neighbourhoods: memory is
    (d + c) size^2 h w numbers an image.
    """
    b, d, h, w = query.shape
    around = {"kernel_size": size, "padding": size // 2}
    keys = F.unfold(key, **around).reshape(b, d, size**2, h, w)
    values = F.unfold(value, **around).reshape(b, value.shape[1], size**2, h, w)
    inside = F.unfold(query.new_ones(1, 1, h, w), **around).reshape(1, size**2, h, w)
    logits = (query[:, :, None] * keys).sum(1).float() / d**0.5
    weights = logits.masked_fill(inside == 0, float("-inf")).softmax(1).to(value.dtype)
    return (weights[:, None] * values).sum(2)


class RelationalContext(nn.Module):
    """Shared parts of the contexts: query and key of two 1x1-BN-ReLU each, value of one.

    Args:
        channels: width of the target's and of the source's map.
        inner: width of the attention and of the output.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Sequential(pointwise(channels, inner), pointwise(inner, inner))
        self.key = nn.Sequential(pointwise(channels, inner), pointwise(inner, inner))
        self.value = pointwise(channels, inner)


class LocalContext(RelationalContext):
    """Attention of each target position over a window of the source around it.

    Args:
        channels, inner: see :class:`RelationalContext`.
        size: side of the window in positions, odd.
    """

    def __init__(self, channels: int, inner: int, size: int = 9) -> None:
        super().__init__(channels, inner)
        self.size = size

    def forward(
        self, target: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b d h w"]:
        """Returns what ``target`` reads of ``source``."""
        return neighbourhood_attention(
            self.query(target), self.key(source), self.value(source), self.size
        )

    def row(
        self,
        target: Float[Tensor, "b c h w"],
        source: Float[Tensor, "b c h w"],
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b h w"]:
        """Weights with which one target position (row, column) reads the source; they sum to 1."""
        query, key = self.query(target)[..., pixel[0], pixel[1]], self.key(source)
        logits = torch.einsum("bd,bdhw->bhw", query, key) / query.shape[1] ** 0.5
        far = [
            (torch.arange(n, device=key.device) - p).abs() > self.size // 2
            for n, p in zip(key.shape[-2:], pixel, strict=True)
        ]
        logits = logits.masked_fill(far[0][:, None] | far[1][None], float("-inf"))
        return logits.flatten(1).softmax(1).reshape(logits.shape)


class LabelContext(RelationalContext):
    """Attention of each target position over one token per label of an auxiliary head.

    The tokens pool the *source's* features; the labels are the target's (T-label context) or the
    source's (S-label context), which is the caller's choice.
    """

    def forward(
        self,
        target: Float[Tensor, "b c h w"],
        source: Float[Tensor, "b c h w"],
        label_logits: Float[Tensor, "b n h w"],
    ) -> Float[Tensor, "b d h w"]:
        """Returns what ``target`` reads of the tokens of ``source``; cost n per position."""
        tokens = label_tokens(source, label_logits)[..., None]
        query = self.query(target).flatten(2).transpose(1, 2)
        key = self.key(tokens).squeeze(-1)
        value = self.value(tokens).squeeze(-1)
        weights = (query @ key / query.shape[-1] ** 0.5).float().softmax(-1).to(value.dtype)
        return (weights @ value.transpose(1, 2)).transpose(1, 2).unflatten(2, target.shape[-2:])
