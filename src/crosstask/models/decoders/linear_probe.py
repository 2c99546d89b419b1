"""A linear head: one 1x1 convolution on all of an encoder's maps, at stride 4."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.sizes import cell_count

STRIDE = 4


class LinearProbe(nn.Module):
    """Every map resized (bilinear) to stride 4, concatenated, one 1x1 convolution; then image size.

    The convolution runs on each map at its own resolution and what it gives is resized and added
    up: resizing mixes positions, a 1x1 convolution mixes channels, so the two commute.

    Args:
        channels, strides: of the encoder's maps, fine to coarse.
        outputs: channels of the prediction.
    """

    levels = (0,)
    prediction_levels = (0,)

    def __init__(self, channels: Sequence[int], strides: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.predictions = nn.ModuleDict({"0": nn.Conv2d(sum(channels), outputs, 1)})

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor:
        """The raw output at stride 4."""
        layer = self.prediction_layers()[0]
        height, width = (n * self.strides[0] for n in features[0].shape[-2:])
        size = (cell_count(height, STRIDE), cell_count(width, STRIDE))
        parts = torch.split(layer.weight, list(self.channels), dim=1)
        total = None
        for index, (feature, weight) in enumerate(zip(features, parts, strict=True)):
            part = functional.conv2d(feature, weight, layer.bias if index == 0 else None)
            part = functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
            total = part if total is None else total + part
        assert total is not None
        return total

    def predict(
        self, level: int, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b c H W"]:
        """Raw output at image size (bilinear, align_corners False)."""
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layer whose bias is the output's starting value."""
        return [layer for layer in self.predictions.values() if isinstance(layer, nn.Conv2d)]
