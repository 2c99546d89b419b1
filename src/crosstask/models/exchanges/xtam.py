"""xTAM: the cross-task attention module of DenseMTL (Lopes et al., WACV 2023, section 3.1).

One direction, from a source task j (the paper's secondary task) to a target task i (the primary
one). An extractor, which the release has and the paper does not, reads f_j: g = ReLU(conv3x3(f_j)).

=======  ==========================================================================  ======================
Eq. 1    A = softmax(q^T k / sqrt(C)) over the source's positions, q from f_i, k     `CorrelationAttention`
         from g
Eq. 2    xtask_{j->i} = A v, v from g                                                `CorrelationAttention`
Eq. 3    self_{j->i} = conv(g) * sigmoid(conv'(g))                                   `SpatialGate`
Eq. 4    f_{j->i} = [self_{j->i}, alpha * xtask_{j->i}], alpha learned from zero     `CrossTaskAttention`
Eq. 5    f_i + ReLU(BN(W_i [f_{j->i} for j != i]))                                   `mteb.TaskExchange`
=======  ==========================================================================  ======================

The paper's Eq. 1 names q and k the other way round; what counts is that queries come from the
target, keys and values from the source. After Eq. 4 the release projects f_{j->i} back to C
channels (1x1, batch norm, ReLU).
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.attention_grid import POOLINGS, attend, enlarge, pool, tokens
from crosstask.models.layers.norm_folding import added, folds, scale_and_shift
from crosstask.models.layers.projection import projection

CORRELATIONS = ("spatial", "channel", "both")
SELF_ATTENTIONS = ("half", "full", None)


class SpatialGate(nn.Module):
    """Self-attention of xTAM (Eq. 3): a feature convolution times the sigmoid of a mask convolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.feature = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.mask = nn.Conv2d(channels, width, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"], merged: bool = True) -> Float[Tensor, "b d h w"]:
        """`merged` runs both convolutions as one; the result is the same."""
        if not merged:
            return self.feature(x) * self.mask(x).sigmoid()
        weight = torch.cat([self.feature.weight, self.mask.weight])
        feature, mask = functional.conv2d(x, weight, padding=1).chunk(2, dim=1)
        return feature * mask.sigmoid()


class Correlation(nn.Module):
    """What a direction of xTAM asks of its correlation: target and source in, the attended source out.

    Attributes:
        outputs: channels of the result, which lies on a grid of ceil(H / ``downscale``) rows.
        alpha: learned scale of the result, (outputs,), or None.
    """

    outputs: int
    alpha: nn.Parameter | None

    def scaled(self, attended: Float[Tensor, "b d hs ws"]) -> Float[Tensor, "b d hs ws"]:
        """The attended source times alpha (Eq. 4), which starts at zero."""
        return attended if self.alpha is None else attended * self.alpha.view(1, -1, 1, 1)

    def row(
        self,
        target: Float[Tensor, "b c h w"],
        source: Float[Tensor, "b c h w"],
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """Weights with which one target pixel (row, column) reads the source's positions.

        Raises:
            ValueError: a correlation that has no weights over positions.
        """
        raise ValueError(f"{type(self).__name__} has no attention over positions.")


class CorrelationAttention(Correlation):
    """Correlation-guided attention (Eqs. 1 and 2, times the alpha of Eq. 4).

    The softmax runs over the source's positions (``spatial``; scale 1/sqrt(C), fused, so that the
    N x N matrix is never stored) or over its channels (``channel``; scale 1/sqrt(N)); ``both``
    concatenates the two, which share queries, keys and values. Cost of ``spatial``: 2 N M C for N
    target and M source positions.
    """

    def __init__(
        self,
        channels: int,
        downscale: int,
        source_downscale: int,
        kind: str = "spatial",
        alpha: bool = True,
        target_pooling: str = "nearest",
        source_pooling: str = "max",
    ) -> None:
        super().__init__()
        self.kind = kind
        self.downscale, self.source_downscale = downscale, source_downscale
        self.target_pooling, self.source_pooling = target_pooling, source_pooling
        self.query = projection(channels, channels)
        self.key = projection(channels, channels)
        self.value = projection(channels, channels)
        self.outputs = channels * (2 if kind == "both" else 1)
        self.alpha = nn.Parameter(torch.zeros(self.outputs)) if alpha else None

    def project(
        self, target: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values on the attention grid, each (B,C,hs,ws)."""
        query = self.query(pool(target, self.downscale, self.target_pooling))
        source = pool(source, self.source_downscale, self.source_pooling)
        return query, self.key(source), self.value(source)

    def forward(
        self, target: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b d hs ws"]:
        """The attended source on the attention grid (ceil(h / downscale) rows), times alpha."""
        query, key, value = self.project(target, source)
        parts = []
        if self.kind in ("spatial", "both"):
            parts.append(attend(query, tokens(key), tokens(value)))
        if self.kind in ("channel", "both"):
            parts.append(_attend_channels(query, key, value))
        return self.scaled(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))

    def row(
        self,
        target: Float[Tensor, "b c h w"],
        source: Float[Tensor, "b c h w"],
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """One row of A (Eq. 1): the weights of one target pixel (row, column); they sum to 1."""
        if self.kind == "channel":
            raise ValueError("channel correlation has no attention over positions.")
        query, key, _ = self.project(target, source)
        cell = query[..., pixel[0] // self.downscale, pixel[1] // self.downscale]
        logits = torch.einsum("bc,bchw->bhw", cell, key) / math.sqrt(query.shape[1])
        return logits.flatten(1).softmax(dim=1).view(logits.shape)


def _attend_channels(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = query.flatten(2), key.flatten(2), value.flatten(2)
    weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return (weights @ v).view(query.shape)


class CrossTaskAttention(nn.Module):
    """One direction of xTAM: target and source features in, the directional feature out (Eq. 4).

    f_{j->i} = ReLU(BN(W [gate(g), alpha * attention(f_i, g)])) with g = ReLU(conv3x3(f_j)).
    With C channels: 22.5 C^2 + 10 C parameters in the default form.

    Args:
        channels: C, of both features and of the result.
        downscale: s, pixels of the level per cell of the attention grid.
        correlation: ``"spatial"``, ``"channel"``, ``"both"``, None (left out), or a `Correlation`
            of that downscale.
        self_attention: ``"half"`` (C/2 channels), ``"full"`` (C) or None (left out).
        alpha: scale the correlation by a learned vector that starts at 0.
        kv_downscale: ``"s"`` as released, or ``"s2"``, s squared, as in the paper.
        target_pooling, source_pooling: how each side shrinks (``nearest`` and ``max`` as released).
        upsampling: how the correlation grows again, ``nearest`` (as released) or ``bilinear``.

    Raises:
        ValueError: an unknown choice, both parts left out, or channel correlation with ``"s2"``.
    """

    def __init__(
        self,
        channels: int,
        downscale: int = 4,
        correlation: str | Correlation | None = "spatial",
        self_attention: str | None = "half",
        alpha: bool = True,
        kv_downscale: str = "s",
        target_pooling: str = "nearest",
        source_pooling: str = "max",
        upsampling: str = "nearest",
    ) -> None:
        super().__init__()
        _check_choices(
            correlation=(correlation, (*CORRELATIONS, None)),
            self_attention=(self_attention, SELF_ATTENTIONS),
            kv_downscale=(kv_downscale, ("s", "s2")),
            target_pooling=(target_pooling, POOLINGS),
            source_pooling=(source_pooling, POOLINGS),
            upsampling=(upsampling, ("nearest", "bilinear")),
        )
        _check_combination(correlation, self_attention, kv_downscale, downscale)
        self.downscale = downscale
        self.upsampling = upsampling
        self.extractor = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate_width = {"half": channels // 2, "full": channels, None: 0}[self_attention]
        self.gate = SpatialGate(channels, self.gate_width) if self_attention else None
        if isinstance(correlation, str):
            correlation = CorrelationAttention(
                channels,
                downscale,
                downscale if kv_downscale == "s" else downscale**2,
                correlation,
                alpha,
                target_pooling,
                source_pooling,
            )
        self.correlation = correlation
        inputs = self.gate_width + (correlation.outputs if correlation is not None else 0)
        self.projection = nn.Conv2d(inputs, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(
        self, target: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        return self.combine(target, self.extractor(source).relu())

    def combine(
        self,
        target: Float[Tensor, "b c h w"],
        extracted: Float[Tensor, "b c h w"],
        economical: bool = True,
    ) -> Float[Tensor, "b c h w"]:
        """The directional feature (Eq. 4, projected) from g = ReLU(extractor(source)).

        `economical` projects the correlation on the attention grid and enlarges it afterwards:
        enlarging mixes positions, a 1x1 convolution mixes channels, so the two commute, and batch
        norm still sees the sum at full resolution. Without it the projection reads the
        concatenation at full resolution, as the equations are written.
        """
        size = (target.shape[-2], target.shape[-1])
        parts = []
        if self.gate is not None:
            parts.append(self.gate(extracted, economical))
        if self.correlation is not None:
            parts.append(self.correlation(target, extracted))
        if not economical:
            if self.correlation is not None:
                parts[-1] = enlarge(parts[-1], self.downscale, size, self.upsampling)
            return self.norm(self.projection(torch.cat(parts, dim=1))).relu()
        if folds(self.norm):
            scale, shift = scale_and_shift(self.norm)
            weight = self.projection.weight * scale[:, None, None, None]
            return self._project(parts, size, weight, shift).relu_()
        return self.norm(self._project(parts, size, self.projection.weight)).relu_()

    def _project(
        self, parts: list[Tensor], size: tuple[int, int], weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """The projection of the concatenation, part by part; the first part takes the bias."""
        projected = None
        if self.gate is not None:
            projected = functional.conv2d(parts[0], weight[:, : self.gate_width], bias)
            bias = None
        if self.correlation is not None:
            small = functional.conv2d(parts[-1], weight[:, self.gate_width :], bias)
            attended = enlarge(small, self.downscale, size, self.upsampling)
            projected = attended if projected is None else added(projected, attended)
        return cast(Tensor, projected)


def _check_choices(**choices: tuple[object, Sequence[object]]) -> None:
    for name, (value, allowed) in choices.items():
        if value not in allowed and not isinstance(value, Correlation):
            raise ValueError(f"`{name}` is {value!r}; expected one of {tuple(allowed)}.")


def _check_combination(
    correlation: object, self_attention: str | None, kv_downscale: str, downscale: int
) -> None:
    if correlation is None and self_attention is None:
        raise ValueError(
            "`correlation` and `self_attention` are both None; keep one of them, or leave the "
            "exchange out (architecture 'multi_task_matched')."
        )
    if kv_downscale == "s2" and correlation in ("channel", "both") and downscale > 1:
        raise ValueError(
            f"`kv_downscale` is 's2' with `correlation` {correlation!r}; channel correlation "
            "needs both sides on one grid: take kv_downscale='s'."
        )
