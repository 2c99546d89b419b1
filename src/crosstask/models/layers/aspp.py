"""Atrous spatial pyramid pooling (ASPP; Chen et al. 2017, DeepLabv3)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch norm of a 1x1 map.

    In training with one image there is a single value per channel and no variance: the running
    statistics are used then, and not updated, where plain batch norm would raise.
    """

    def forward(self, input: Float[Tensor, "b c 1 1"]) -> Float[Tensor, "b c 1 1"]:
        if input.shape[0] > 1:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class ASPP(nn.Module):
    """A 1x1 branch, three dilated 3x3 branches and image pooling, concatenated and projected.

    Every convolution is free of bias and followed by batch norm and ReLU; dropout at the end.

    Args:
        inputs, outputs: channels; each branch has `outputs`.
        rates: dilations of the 3x3 branches.
        pooling: with the image pooling branch (mean over the whole map, resized back bilinearly).
        dropout: probability after the projection.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rates: Sequence[int] = (6, 12, 18),
        pooling: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_branch(inputs, outputs, 1, 1)])
        self.branches.extend(_branch(inputs, outputs, 3, rate) for rate in rates)
        self.pooling = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                PooledBatchNorm(outputs),
                nn.ReLU(),
            )
            if pooling
            else None
        )
        branches = len(self.branches) + int(pooling)
        self.project = nn.Sequential(
            nn.Conv2d(branches * outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        maps = [branch(x) for branch in self.branches]
        if self.pooling is not None:
            # resizing a 1x1 map bilinearly is the same as repeating it
            maps.append(self.pooling(x).expand(-1, -1, *x.shape[-2:]))
        return self.project(torch.cat(maps, dim=1))


def _branch(inputs: int, outputs: int, kernel: int, rate: int) -> nn.Sequential:
    padding = rate if kernel == 3 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
