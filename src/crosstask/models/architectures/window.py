"""DenseMTL's decoders with windowed cross-task attention."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import with_exchanges
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.window import WindowExchange
from crosstask.models.networks.network import Network


def window(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: int | Sequence[int] = (1,),
    window: int = 8,
    heads: int = 4,
    downscale: int = 2,
    fusion: str = "add",
    self_attention: str | None = "half",
    alpha: bool = True,
    **decoder: Any,
) -> Network:
    """Cross-task attention inside windows of a finer grid, see `WindowExchange`.

    Args:
        levels: decoder levels that are followed by an exchange.
        window, heads: see `WindowCorrelation`.
        downscale: pixels of the level per cell of the attention grid.
        fusion, self_attention, alpha: as in DenseMTL.
        decoder: options of `Decoder`.
    """

    def exchange(level: int, channels: int) -> nn.Module:
        return WindowExchange(
            tuple(tasks),
            channels,
            downscale,
            fusion,
            window=window,
            heads=heads,
            alpha=alpha,
            self_attention=self_attention,
        )

    return with_exchanges(encoder, tasks, width, levels, exchange, **decoder)


WINDOW = Architecture(window)
