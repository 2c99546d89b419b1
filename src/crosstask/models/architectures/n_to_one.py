"""DenseMTL's decoders with N-to-one attention."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.architectures.densemtl import with_exchanges
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.mteb import DOWNSCALES
from crosstask.models.exchanges.n_to_one import NToOneExchange
from crosstask.models.networks.network import Network


def n_to_one(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: int | Sequence[int] = (1,),
    alpha: bool = True,
    **decoder: Any,
) -> Network:
    """Each target attends once to all other tasks together, see `NToOneExchange`.

    Args:
        levels: decoder levels that are followed by an exchange.
        alpha: see `NToOneExchange`.
        decoder: options of `Decoder`.
    """

    def exchange(level: int, channels: int) -> nn.Module:
        return NToOneExchange(tuple(tasks), channels, DOWNSCALES[level], alpha)

    return with_exchanges(encoder, tasks, width, levels, exchange, **decoder)


N_TO_ONE = Architecture(n_to_one)
