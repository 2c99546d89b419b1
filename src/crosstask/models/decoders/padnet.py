"""PAD-Net's task decoder: residual bottlenecks before and after the distillation, no skips."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.width import scale_channels


class Bottleneck(nn.Module):
    """Residual bottleneck: 1x1, 3x3, 1x1 convolutions with batch norm; projected shortcut if widths differ."""

    def __init__(self, inputs: int, outputs: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            if inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return (self.body(x) + self.shortcut(x)).relu()


class PadNetDecoder(nn.Module):
    """Two bottlenecks and an initial prediction; after the exchange two more and the final one.

    Both work on the encoder's deepest stride (16 on a dilated ResNet). The levels are named after
    what they put out: `initial` (4 at stride 16; the initial prediction, in training supervised
    like every other) and 0 (the final prediction, enlarged bilinearly to image size).

    Args:
        channels, strides: of the encoder's maps, fine to coarse.
        outputs: channels of the predictions.
        width: scales the 256 channels, and the 64 inside the bottlenecks.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], outputs: int, width: float = 1.0
    ) -> None:
        super().__init__()
        outer, inner = scale_channels(256, width), scale_channels(64, width)
        self.initial = strides[-1].bit_length() - 1
        self.levels = (self.initial, 0)
        self.prediction_levels = self.levels
        self.widths = dict.fromkeys(self.levels, outer)
        self.stages = nn.ModuleDict(
            {
                str(self.initial): nn.Sequential(
                    Bottleneck(channels[-1], outer, inner), Bottleneck(outer, outer, inner)
                ),
                "0": nn.Sequential(
                    Bottleneck(outer, outer, inner), Bottleneck(outer, outer, inner)
                ),
            }
        )
        self.predictions = nn.ModuleDict(
            {str(level): nn.Conv2d(outer, outputs, 1) for level in self.levels}
        )

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor:
        """The bottlenecks of one level."""
        return self.stages[str(level)](features[-1] if x is None else x)

    def predict(
        self, level: int, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b k H W"]:
        """Raw output: the initial one at its own resolution, the final one at image size."""
        output = self.predictions[str(level)](x)
        if level == self.initial:
            return output
        return functional.interpolate(output, size=size, mode="bilinear", align_corners=False)

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layers whose bias is the output's starting value."""
        return [layer for layer in self.predictions.values() if isinstance(layer, nn.Conv2d)]
