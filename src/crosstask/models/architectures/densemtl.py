"""DenseMTL (Lopes et al., WACV 2023): task decoders that exchange through cross-task attention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from crosstask.models.architectures.architecture import Architecture
from crosstask.models.decoders.densemtl import Decoder
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.exchanges.base import check_tasks
from crosstask.models.exchanges.mteb import DOWNSCALES, TaskExchange
from crosstask.models.exchanges.own import own_exchange
from crosstask.models.networks.network import Network

# The published choices of the block, in the order of the arguments.
_PUBLISHED = ("add", "spatial", "half", True, "s", "nearest", "max", "nearest")


def densemtl(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float = 1.0,
    levels: int | Sequence[int] = (1,),
    fusion: str = "add",
    correlation: str | None = "spatial",
    self_attention: str | None = "half",
    alpha: bool = True,
    kv_downscale: str = "s",
    target_pooling: str = "nearest",
    source_pooling: str = "max",
    upsampling: str = "nearest",
    exchange: Any = None,
    exchange_options: Mapping[str, Any] | None = None,
    **decoder: Any,
) -> Network:
    """DenseMTL: one decoder per task, an exchange block (mTEB) after each of `levels`.

    With `correlation` and `self_attention` both None there is no block at all (the row "no mTEB"
    of the paper's Table 3), and one task is legal.

    Args:
        levels: decoder levels that are followed by an exchange, or one; level l has stride 2^l.
            The paper's Table 3 has (4,), (3,), (2,), (1,), (2, 1), (3, 2, 1) and (4, 3, 2, 1).
        fusion: see `TaskExchange`.
        correlation, self_attention, alpha, kv_downscale, target_pooling, source_pooling,
            upsampling: see `CrossTaskAttention`.
        exchange: one of your own in the block's place, `FILE.py:NAME`, a registered name or a class:
            made for each level as ``exchange(tasks, channels, level, **exchange_options)`` from the
            ordered names of the tasks, the channels of every task's features and the level, it
            maps ``{task: features}`` to the same keys and shapes. The options of the block, from
            `fusion` to `upsampling`, then have no meaning and are refused.
        exchange_options: further arguments of `exchange`.
        decoder: options of `Decoder`.

    Raises:
        ValueError: one task, a level that the decoders do not have, or an unknown choice.
    """
    if exchange is not None:
        block_options = (fusion, correlation, self_attention, alpha, kv_downscale)
        if (*block_options, target_pooling, source_pooling, upsampling) != _PUBLISHED:
            raise ValueError(
                "`exchange` takes the place of DenseMTL's block; leave out the block's options, or "
                "give your own by `exchange_options`."
            )
        make = own_exchange(exchange, tuple(tasks), exchange_options or {})
        return with_exchanges(encoder, tasks, width, levels, make, **decoder)
    if exchange_options:
        raise ValueError(
            "`exchange_options` are those of an exchange of your own; give `exchange`."
        )
    if correlation is None and self_attention is None:
        return Network(encoder, create_decoders(encoder, tasks, width, **decoder))

    def block(level: int, channels: int) -> nn.Module:
        return TaskExchange(
            tuple(tasks),
            channels,
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

    return with_exchanges(encoder, tasks, width, levels, block, **decoder)


def with_exchanges(
    encoder: Encoder,
    tasks: Mapping[str, int],
    width: float,
    levels: int | Sequence[int],
    exchange: Callable[[int, int], nn.Module],
    **decoder: Any,
) -> Network:
    """DenseMTL's decoders with ``exchange(level, channels)`` after each of `levels`."""
    check_tasks(tuple(tasks))
    decoders = create_decoders(encoder, tasks, width, **decoder)
    first = next(iter(decoders.values()))
    chosen = check_levels(levels, first.levels)
    return Network(
        encoder, decoders, {level: exchange(level, first.widths[level]) for level in chosen}
    )


def check_levels(levels: Any, known: Sequence[int]) -> tuple[int, ...]:
    """Different levels out of `known`; a number stands for one."""
    chosen = tuple(levels) if isinstance(levels, list | tuple) else (levels,)
    whole = all(type(level) is int for level in chosen)
    if not whole or not chosen or set(chosen) - set(known) or len(set(chosen)) != len(chosen):
        raise ValueError(f"`levels` is {levels!r}; expected different ones out of {tuple(known)}.")
    return chosen


def create_decoders(
    encoder: Encoder, tasks: Mapping[str, int], width: float, **options: Any
) -> dict[str, Decoder]:
    """One DenseMTL decoder per task.

    `prediction_levels` may also map some tasks to levels of their own; the others have (1, 0).
    """
    levels = options.pop("prediction_levels", (1, 0))
    own = levels if isinstance(levels, Mapping) else dict.fromkeys(tasks, levels)
    if unknown := [task for task in own if task not in tasks]:
        raise ValueError(
            f"`prediction_levels` names {unknown[0]!r}; expected some of {list(tasks)}"
        )
    return {
        task: Decoder(
            encoder.channels,
            encoder.strides,
            outputs,
            prediction_levels=own.get(task, (1, 0)),
            width=width,
            **options,
        )
        for task, outputs in tasks.items()
    }


DENSEMTL = Architecture(densemtl)
