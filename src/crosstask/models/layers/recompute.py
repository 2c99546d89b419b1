"""Activation checkpointing: less memory in training for a second forward pass of some parts.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016), through `torch.utils.checkpoint`.
Gradients are those of plain training: the second pass repeats the first one's random numbers, and
batch norms count a batch once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute_activations(network: nn.Module, enabled: bool = True) -> list[str]:
    """Exchanges and decoders keep their inputs only, and run again in the backward pass.

    The paper's block does so direction by direction, so that no more than one direction's
    activations exist at a time; other exchanges, and the decoders of `Network` stage by stage, as
    wholes. Nothing changes in inference.

    Args:
        network: made by `create_model`.

    Returns:
        names of the modules concerned.

    Raises:
        ValueError: the network has neither exchanges nor decoders.
    """
    found = []
    for group in ("exchanges", "decoders"):
        for name, module in getattr(network, group, nn.ModuleDict()).items():
            module.recompute = enabled
            found.append(f"{group}.{name}")
    if not found:
        raise ValueError(
            f"{type(network).__name__} has neither `exchanges` nor `decoders`; leave activation "
            "checkpointing out"
        )
    return found


def run(module: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``, a part of `module`, recomputed in the backward pass where asked for."""
    if not (getattr(module, "recompute", False) and module.training and torch.is_grad_enabled()):
        return function(*inputs)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), frozen_statistics(module)

    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


def run_exchange(exchange: nn.Module, *inputs: Any) -> Any:
    """An exchange, as a whole or, where it says so (`recomputes_parts`), in its own parts."""
    if getattr(exchange, "recomputes_parts", False):
        return exchange(*inputs)
    return run(exchange, exchange, *inputs)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms inside still normalise with the batch, but do not update their running statistics."""
    norms = [
        cast(Any, m)
        for m in module.modules()
        if isinstance(m, _BatchNorm) and cast(Any, m).num_batches_tracked is not None
    ]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # running = 1 * running + 0 * batch
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
