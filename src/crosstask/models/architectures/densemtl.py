"""DenseMTL (Lopes et al., WACV 2023): task decoders that exchange through cross-task attention."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.decoder import Decoder
from crosstask.models.encoder import Encoder
from crosstask.models.exchange import DOWNSCALES, TaskExchange
from crosstask.models.network import Network


def densemtl(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: Sequence[int] = (1,),
    fusion: str = "add",
    correlation: str | None = "spatial",
    self_attention: str | None = "half",
    alpha: bool = True,
    kv_downscale: str = "s",
    target_pooling: str = "nearest",
    source_pooling: str = "max",
    upsampling: str = "nearest",
    prediction_levels: Sequence[int] = (1, 0),
    batch_norm: bool = False,
    dropout: float = 0.0,
    skip_projection: bool = False,
    aspp_pooling: bool = True,
) -> Network:
    """DenseMTL: one decoder per task, an exchange block (mTEB) after each of `levels`.

    With `correlation` and `self_attention` both None there is no block at all (the row "no mTEB"
    of the paper's Table 3), and one task is legal.

    Args:
        levels: decoder levels that are followed by an exchange; level l has stride 2^l. The
            paper's Table 3 has (4,), (3,), (2,), (1,), (2, 1), (3, 2, 1) and (4, 3, 2, 1).
        fusion: see `TaskExchange`.
        correlation, self_attention, alpha, kv_downscale, target_pooling, source_pooling,
            upsampling: see `CrossTaskAttention`.
        prediction_levels, batch_norm, dropout, skip_projection, aspp_pooling: see `Decoder`.

    Raises:
        ValueError: one task, a level that the decoders do not have, or an unknown choice.
    """
    decoders = create_decoders(
        encoder,
        tasks,
        width,
        prediction_levels=prediction_levels,
        batch_norm=batch_norm,
        dropout=dropout,
        skip_projection=skip_projection,
        aspp_pooling=aspp_pooling,
    )
    if correlation is None and self_attention is None:
        return Network(encoder, decoders)
    exchanges: dict[int, nn.Module] = {}
    for level in check_levels(levels, decoders):
        exchanges[level] = TaskExchange(
            tuple(tasks),
            level_channels(decoders, level),
            DOWNSCALES[level],
            fusion,
            correlation=correlation,
            self_attention=self_attention,
            alpha=alpha,
            kv_downscale=kv_downscale,
            target_pooling=target_pooling,
            source_pooling=source_pooling,
            upsampling=upsampling,
        )
    return Network(encoder, decoders, exchanges)


def create_decoders(
    encoder: Encoder, tasks: Mapping[str, int], width: float, **options: Any
) -> dict[str, Decoder]:
    """One DenseMTL decoder per task."""
    return {
        task: Decoder(encoder.channels, encoder.strides, outputs, width=width, **options)
        for task, outputs in tasks.items()
    }


def level_channels(decoders: Mapping[str, Decoder], level: int) -> int:
    """Channels of the features at a level, the same for every task."""
    return next(iter(decoders.values())).widths[level]


def check_levels(levels: Sequence[int], decoders: Mapping[str, Decoder]) -> list[int]:
    """Levels for an exchange: some of the decoders', each once."""
    known = next(iter(decoders.values())).levels
    if not levels or len(set(levels)) != len(levels) or any(x not in known for x in levels):
        raise ValueError(f"`levels` is {tuple(levels)}; expected different ones out of {known}.")
    return sorted(levels, reverse=True)
