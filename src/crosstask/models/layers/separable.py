"""Depthwise-separable convolutions with ReLU6 (Howard et al. 2017, MobileNets): few operations, int8-friendly."""

from jaxtyping import Float
from torch import Tensor, nn


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    """1x1 convolution and batch norm, without activation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class SeparableBlock(nn.Module):
    """Depthwise kxk, batch norm, ReLU6, 1x1, batch norm, with a shortcut where widths agree, ReLU6.

    Args:
        inputs, outputs: channels.
        kernel: k, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU6(inplace=True),
        )
        self.pointwise = pointwise(inputs, outputs)
        self.activation = nn.ReLU6(inplace=True)
        self.shortcut = inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        y = self.pointwise(self.depthwise(x))
        return self.activation(x + y if self.shortcut else y)
