"""One task's part in a multi-scale network: a head per scale, side predictions, aggregation.

Sources: Vandenhende et al., MTI-Net, ECCV 2020; Kim, Choi and Min, SCA-MTL, ICIP 2022.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.exchanges.sca_scale import ScaleAttention
from crosstask.models.layers.linear_attention import pointwise
from crosstask.models.layers.residual_block import ResidualBlock


class TaskScales(nn.Module):
    """Task features at every scale, and the final prediction from all of them.

    At each scale two residual blocks refine the shared map (with the message of the next coarser
    scale beside it); a 1x1 convolution on the result is the side prediction (deep supervision).
    After the exchanges all scales are upsampled to the finest, concatenated, and a 1x1
    convolution, batch norm, ReLU and a 1x1 convolution predict.

    Args:
        inputs: width of what each scale's head reads, fine to coarse.
        channels: width of the task features of each scale.
        outputs: channels of the predictions.
        scale_attention: cross-scale attention (CSAM), or None.
        scales_first: CSAM comes before the exchange between tasks instead of after it; its output
            is then brought back to the width of the scale (1x1 convolution, batch norm) and added
            to the features.
        head_channels: width between the last two 1x1 convolutions; None keeps the width of the
            concatenation, as published.
        side_predictions: deep supervision at every scale.
        final: False for a task that only has side predictions (MTI-Net's auxiliary tasks).
    """

    def __init__(
        self,
        inputs: Sequence[int],
        channels: Sequence[int],
        outputs: int,
        scale_attention: ScaleAttention | None = None,
        scales_first: bool = False,
        head_channels: int | None = None,
        side_predictions: bool = True,
        final: bool = True,
    ) -> None:
        super().__init__()
        self.scales_first = scales_first
        self.refine = nn.ModuleList(
            nn.Sequential(ResidualBlock(read, width), ResidualBlock(width, width))
            for read, width in zip(inputs, channels, strict=True)
        )
        self.side_predictions = nn.ModuleList(
            nn.Conv2d(width, outputs, 1) for width in channels if side_predictions
        )
        self.scale_attention = scale_attention
        self.merge = nn.ModuleDict()
        stacked = sum(channels)
        if scale_attention is not None and scales_first:
            for k in scale_attention.queries:
                read = scale_attention.out_channels[k]
                self.merge[str(k)] = pointwise(read, channels[k], relu=False)
        elif scale_attention is not None:
            stacked = sum(scale_attention.out_channels)
        self.mix: nn.Module | None = None
        self.predictions = nn.ModuleList()
        if final:
            inner = head_channels or stacked
            self.mix = nn.Sequential(
                nn.Conv2d(stacked, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
            )
            self.predictions.append(nn.Conv2d(inner, outputs, 1))

    def initial(
        self, k: int, shared: Float[Tensor, "b c h w"], message: Float[Tensor, "b m hm wm"] | None
    ) -> Float[Tensor, "b d h w"]:
        """Features of scale ``k`` before any attention; the message is upsampled bilinearly."""
        if message is not None:
            message = functional.interpolate(message, size=shared.shape[-2:], mode="bilinear")
            shared = torch.cat([shared, message], 1)
        return self.refine[k](shared)

    def side(self, k: int, initial: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Side prediction of scale ``k``, at its own resolution."""
        return self.side_predictions[k](initial)

    def read_coarser(self, k: int, own: Tensor, coarser: Sequence[Tensor]) -> Tensor:
        """What enters the exchange at scale ``k``: the features, after CSAM where scales go first.

        Args:
            k: index of the scale, 0 the finest.
            own: initial features of the scale.
            coarser: initial features of all coarser scales, fine to coarse.
        """
        if self.scale_attention is None or str(k) not in self.merge:
            return own
        return own + self.merge[str(k)](self.scale_attention.read(k, own, coarser))

    def predict(self, features: list[Tensor]) -> Tensor:
        """The final prediction at the finest scale, from features fine to coarse."""
        if self.scale_attention is not None and not self.scales_first:
            features = self.scale_attention(features)
        size = features[0].shape[-2:]
        stack = [functional.interpolate(x, size=size, mode="bilinear") for x in features[1:]]
        assert self.mix is not None
        return self.predictions[0](self.mix(torch.cat([features[0], *stack], 1)))

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layers whose bias is the output's starting value."""
        layers = [*self.side_predictions, *self.predictions]
        return [layer for layer in layers if isinstance(layer, nn.Conv2d)]
