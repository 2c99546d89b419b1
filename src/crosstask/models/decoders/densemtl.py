"""The decoder of DenseMTL (and of 3-ways PAD-Net): ASPP, then upsampling blocks with skips."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.aspp import ASPP
from crosstask.models.layers.projection import projection
from crosstask.models.layers.width import scale_channels

LEVEL_CHANNELS = {4: 256, 3: 256, 2: 128, 1: 128, 0: 64}


class ConvUnit(nn.Sequential):
    """3x3 convolution with reflection padding, optional batch norm, ELU, optional dropout."""

    def __init__(
        self, inputs: int, outputs: int, batch_norm: bool = False, dropout: float = 0.0
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=not batch_norm)
        ]
        if batch_norm:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ELU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


class Stage(nn.Module):
    """One decoder level: reduce, upsample (nearest), concatenate the skip, merge."""

    def __init__(
        self, reduce: nn.Module, merge: nn.Module, skip: nn.Module | None, upsample: bool
    ) -> None:
        super().__init__()
        self.reduce = reduce
        self.merge = merge
        self.skip = skip
        self.upsample = upsample

    def forward(
        self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b k H W"] | None
    ) -> Float[Tensor, "b d H W"]:
        x = self.reduce(x)
        if self.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if skip is not None:
            x = torch.cat([x, skip if self.skip is None else self.skip(skip)], dim=1)
        return self.merge(x)


class Decoder(nn.Module):
    """One task's decoder: levels 4 (stride 16) down to 0 (stride 1), predictions at some of them.

    Takes any feature pyramid with strides between 2 and 32: the deepest map goes through ASPP,
    the others are skips at the level of their stride; a stride that is missing has no skip.
    Specification of the DenseMTL decoder: ASPP rates 6, 12, 18; channels 256, 256, 128, 128, 64;
    22,061,440 parameters on a dilated ResNet-101, prediction layers not counted.

    Args:
        channels, strides: of the encoder's maps, fine to coarse.
        outputs: channels of the prediction.
        prediction_levels: levels that predict, with a 1x1 convolution each.
        width: scales all channel counts.
        batch_norm, dropout: in every conv unit; off in the paper.
        skip_projection: 1x1 convolution, batch norm and ReLU on each skip, to the channels of its
            level; off in the paper.
        aspp_pooling: ASPP has its image pooling branch.
        aspp_dropout: dropout after ASPP.
        rates: dilations of ASPP's 3x3 branches.
        multiple: channel counts are multiples of this.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        prediction_levels: Sequence[int] = (1, 0),
        width: float = 1.0,
        batch_norm: bool = False,
        dropout: float = 0.0,
        skip_projection: bool = False,
        aspp_pooling: bool = True,
        aspp_dropout: float = 0.5,
        rates: Sequence[int] = (6, 12, 18),
        multiple: int = 8,
    ) -> None:
        super().__init__()
        _check_strides(strides)
        start = min(4, strides[-1].bit_length() - 1)
        self.levels = tuple(range(start, -1, -1))
        self.prediction_levels = _check_levels(prediction_levels, self.levels)
        self.widths = {
            level: scale_channels(LEVEL_CHANNELS[level], width, multiple) for level in self.levels
        }
        self.skips = {
            level: index
            for index, stride in enumerate(strides[:-1])
            for level in self.levels
            if stride == 2**level
        }
        self.stages = nn.ModuleDict()
        inputs, stride = channels[-1], strides[-1]
        for level in self.levels:
            out = self.widths[level]
            reduce: nn.Module = (
                ASPP(inputs, out, rates, aspp_pooling, aspp_dropout)
                if level == start
                else ConvUnit(inputs, out, batch_norm, dropout)
            )
            extra = channels[self.skips[level]] if level in self.skips else 0
            skip = projection(extra, out) if skip_projection and extra else None
            extra = out if skip is not None else extra
            merge = ConvUnit(out + extra, out, batch_norm, dropout)
            self.stages[str(level)] = Stage(reduce, merge, skip, stride > 2**level)
            inputs, stride = out, 2**level
        self.predictions = nn.ModuleDict(
            {
                str(level): nn.Conv2d(self.widths[level], outputs, 1)
                for level in self.prediction_levels
            }
        )

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor:
        """Run one level on the output of the level before (None at the first)."""
        skip = features[self.skips[level]] if level in self.skips else None
        return self.stages[str(level)](features[-1] if x is None else x, skip)

    def predict(self, level: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Raw output of one level, at the level's own resolution."""
        return self.predictions[str(level)](x)

    def prediction_layers(self) -> list[nn.Conv2d]:
        """The layers whose bias is the output's starting value."""
        return [layer for layer in self.predictions.values() if isinstance(layer, nn.Conv2d)]


def _check_strides(strides: Sequence[int]) -> None:
    if not strides or any(stride not in (2, 4, 8, 16, 32) for stride in strides):
        raise ValueError(
            f"the encoder's strides are {tuple(strides)}; expected a choice of 2, 4, 8, 16, 32; "
            "take an encoder with these only, for example resnet18 or convnext_tiny."
        )


def _check_levels(chosen: Sequence[int], levels: Sequence[int]) -> tuple[int, ...]:
    wrong = [level for level in chosen if level not in levels]
    if wrong or 0 not in chosen or len(set(chosen)) != len(chosen):
        raise ValueError(
            f"`prediction_levels` is {tuple(chosen)}; expected different levels out of "
            f"{tuple(levels)}, with 0 (full size) among them."
        )
    return tuple(sorted(chosen, reverse=True))
