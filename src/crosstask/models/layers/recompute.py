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


def run(module: nn.Module, recompute: bool, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``, a part of `module`, recomputed in the backward pass where asked for."""
    if not (recompute and module.training and torch.is_grad_enabled()):
        return function(*inputs)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), frozen_statistics(module)

    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


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
