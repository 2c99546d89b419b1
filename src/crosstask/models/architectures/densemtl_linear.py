"""DenseMTL's decoders with an exchange that scales to many tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import with_exchanges
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.exchanges.mteb import DOWNSCALES
from crosstask.models.networks.network import Network


def densemtl_linear(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: int | Sequence[int] = (3, 2, 1, 0),
    mixing: str = "separable",
    gate: bool = True,
    attention: str | None = "linear",
    heads: int = 4,
    alpha: bool = True,
    **decoder: Any,
) -> Network:
    """Exchanges over a common bus, their cost linear in the number of tasks, see `LinearExchange`.

    What one exchange costs less than the paper's block is spent on more of them: at four levels
    of the decoders instead of one they still add a small part of the block's arithmetic.
    ``mixing="pointwise", gate=False, attention=None`` exchanges through 1x1 convolutions alone.

    Args:
        levels: decoder levels that are followed by an exchange.
        mixing, gate, attention, heads, alpha: see `LinearExchange`.
        decoder: options of `Decoder`.
    """

    def exchange(level: int, channels: int) -> nn.Module:
        return LinearExchange(
            tuple(tasks), channels, DOWNSCALES[level], mixing, gate, attention, heads, alpha
        )

    return with_exchanges(encoder, tasks, width, levels, exchange, **decoder)


DENSEMTL_LINEAR = Architecture(densemtl_linear)
