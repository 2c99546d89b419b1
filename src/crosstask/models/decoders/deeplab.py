"""The light head of the multi-task survey (Vandenhende et al. 2021): DeepLabv3 on the deepest map."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.aspp import ASPP
from crosstask.models.layers.width import scale_channels


class DeepLabHead(nn.Module):
    """ASPP with rates 12, 24, 36, a 3x3 convolution, a 1x1 prediction enlarged bilinearly.

    Reads the deepest map only; one prediction, at image size. 16,125,440 parameters on 2048
    channels, the prediction layer not counted.

    Args:
        channels: of the encoder's maps, fine to coarse.
        outputs: channels of the prediction.
        width: scales the 256 channels.
        rates, aspp_pooling: see `ASPP`.
    """

    levels = (0,)
    prediction_levels = (0,)

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        width: float = 1.0,
        rates: Sequence[int] = (12, 24, 36),
        aspp_pooling: bool = True,
    ) -> None:
        super().__init__()
        inner = scale_channels(256, width)
        self.trunk = nn.Sequential(
            ASPP(channels[-1], inner, rates, aspp_pooling),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
        )
        self.predictions = nn.ModuleDict({"0": nn.Conv2d(inner, outputs, 1)})

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor:
        """The trunk on the deepest map."""
        return self.trunk(features[-1])

    def predict(
        self, level: int, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b k H W"]:
        """Raw output at image size (bilinear, align_corners False)."""
        output = self.predictions["0"](x)
        return functional.interpolate(output, size=size, mode="bilinear", align_corners=False)

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layer whose bias is the output's starting value."""
        return [layer for layer in self.predictions.values() if isinstance(layer, nn.Conv2d)]
