"""What an exchange reads features with: 3x3 convolutions, their separable form, or 1x1 ones."""

from jaxtyping import Float
from torch import Tensor, nn

MIXINGS = ("conv", "separable", "pointwise")


def create_mixer(mixing: str, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """A 3x3 convolution (``"conv"``), a 3x3 depthwise and a 1x1 one (``"separable"``), or a 1x1 one."""
    if mixing == "conv":
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=bias)
    if mixing == "pointwise":
        return pointwise
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), pointwise
    )


class MixedGate(nn.Module):
    """A feature map times the sigmoid of a mask, both from one mixer (Eq. 3 of DenseMTL)."""

    def __init__(self, mixing: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mixer = create_mixer(mixing, inputs, 2 * outputs, False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        feature, mask = self.mixer(x).chunk(2, dim=1)
        return feature * mask.sigmoid()
