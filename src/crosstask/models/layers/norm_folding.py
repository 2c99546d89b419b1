"""Batch norms that are fixed, as a scale and a shift in the weights of the convolution before them."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


def folds(norm: nn.Module) -> bool:
    """Whether a batch norm is a fixed scale and shift that may go into the weights before it.

    So it is in inference, where it saves a pass over the whole map.
    """
    fixed = isinstance(norm, nn.BatchNorm2d) and norm.affine and norm.track_running_stats
    return fixed and not norm.training and not torch.is_grad_enabled()


def scale_and_shift(norm: nn.Module) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """What a batch norm does in inference: ``x * scale + shift`` for each channel."""
    norm = cast(nn.BatchNorm2d, norm)
    scale = norm.weight * (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
    return scale, norm.bias - cast(Tensor, norm.running_mean) * scale


def added(x: Tensor, y: Tensor) -> Tensor:
    """``x + y``, in the memory of `x` where no gradient needs it."""
    return x + y if torch.is_grad_enabled() else x.add_(y)
