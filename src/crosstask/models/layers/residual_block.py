"""The residual block of two 3x3 convolutions (He et al., CVPR 2016: BasicBlock)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """3x3-BN-ReLU-3x3-BN plus a shortcut, then ReLU; a 1x1-BN shortcut where widths differ.

    Args:
        in_channels: width of the input.
        out_channels: width of the output and of the inner map.
        momentum: momentum of the batch norms.
    """

    def __init__(self, in_channels: int, out_channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(out_channels, momentum=momentum)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(out_channels, momentum=momentum)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels, momentum=momentum),
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Same height and width, ``out_channels`` wide, non-negative."""
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))
