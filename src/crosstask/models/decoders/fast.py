"""The decoder of the family `fast`: narrow, depthwise-separable, at coarse strides, enlarged once at the end."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.layers.separable import SeparableBlock, pointwise
from crosstask.models.layers.sizes import cell_count
from crosstask.models.layers.width import scale_channels


@dataclass(frozen=True)
class FastSize:
    """One size of the family.

    Attributes:
        coarse, middle, fine: channels at strides 16 and 8, and of the map that is predicted from.
        stride: of that map, 4 or 8.
        blocks: separable blocks a level.
    """

    coarse: int
    middle: int
    fine: int
    stride: int
    blocks: int


SIZES = {
    "n": FastSize(64, 48, 48, 8, 1),
    "s": FastSize(128, 96, 64, 4, 1),
    "m": FastSize(192, 128, 96, 4, 2),
}


class FastDecoder(nn.Module):
    """One task: strides 16 (with the image's mean as context), 8, then 4 or 8, then one bilinear enlargement.

    At stride 16 the deepest map and the map of stride 16 are projected and added, with a projection
    of the deepest map's mean over the image; each finer level adds the projected map of its stride
    to what it enlarges (bilinear). Every level ends in separable blocks, 5x5 at stride 16 and 3x3 else.

    With a finer `prediction_stride` the last level stays where it is and costs little more: it also
    adds the encoder's map of that stride, whose cells become channels, and each of its cells
    predicts several (sub-pixel convolution, Shi et al. 2016).

    Args:
        channels, strides: of the encoder's maps, fine to coarse; a level without a map of its
            stride has none to add.
        outputs: channels of the prediction.
        size: see `SIZES`.
        width: scales all channel counts.
        prediction_stride: of the prediction before it is enlarged to the image; None is the size's own.

    Raises:
        ValueError: a `prediction_stride` that does not divide the size's own.
    """

    levels = (4, 3, 0)
    prediction_levels = (0,)

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        size: FastSize = SIZES["s"],
        width: float = 1.0,
        prediction_stride: int | None = None,
    ) -> None:
        super().__init__()
        factor = _factor(size.stride, prediction_stride)
        self.strides = tuple(strides)
        self.stride_of = {4: 16, 3: 8, 0: size.stride}
        sides = {4: size.coarse, 3: size.middle, 0: size.fine}
        self.widths = {level: scale_channels(count, width) for level, count in sides.items()}
        # The encoder's map of each level; the deepest is read at level 4 as well.
        self.map_of = {
            level: list(self.strides).index(stride)
            for level, stride in self.stride_of.items()
            if stride in self.strides[:-1] and (level, stride) != (0, 8)
        }
        self.deepest = pointwise(channels[-1], self.widths[4])
        self.context = nn.Conv2d(channels[-1], self.widths[4], 1)
        self.skips = nn.ModuleDict(
            {str(k): pointwise(channels[index], self.widths[k]) for k, index in self.map_of.items()}
        )
        self.reduce = nn.ModuleDict(
            {
                "3": pointwise(self.widths[4], self.widths[3]),
                "0": pointwise(self.widths[3], self.widths[0]),
            }
        )
        self.activation = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleDict(
            {
                str(level): nn.Sequential(
                    *[
                        SeparableBlock(count, count, 5 if level == 4 else 3)
                        for _ in range(size.blocks)
                    ]
                )
                for level, count in self.widths.items()
            }
        )
        fine = self.widths[0]
        self.detail: nn.Module | None = None
        self.detail_of = 0
        if factor > 1 and prediction_stride in self.strides:
            self.detail_of = self.strides.index(prediction_stride)
            self.detail = _detail(channels[self.detail_of], fine, factor)
        layer: nn.Module = (
            nn.Conv2d(fine, outputs, 1)
            if factor == 1
            else nn.ConvTranspose2d(fine, outputs, factor, stride=factor)
        )
        self.predictions = nn.ModuleDict({"0": layer})

    def stage(self, level: int, x: Tensor | None, features: Sequence[Tensor]) -> Tensor:
        """The features of a level: of stride 16, 8, and the size's own."""
        if x is None:
            deepest = features[-1]
            mean = deepest.mean((2, 3), keepdim=True)
            x = self.deepest(deepest) + self.context(mean)
        else:
            x = self.reduce[str(level)](x)
        x = _enlarged(x, self._size(level, features))
        if level in self.map_of:
            x = x + self.skips[str(level)](features[self.map_of[level]])
        if level == 0 and self.detail is not None:
            x = x + self.detail(features[self.detail_of])
        return self.blocks[str(level)](self.activation(x))

    def _size(self, level: int, features: Sequence[Tensor]) -> tuple[int, int]:
        stride = self.stride_of[level]
        height, width = (count * self.strides[0] for count in features[0].shape[-2:])
        return cell_count(height, stride), cell_count(width, stride)

    def predict(
        self, level: int, x: Float[Tensor, "b c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "b k H W"]:
        """Raw output at image size (bilinear, align_corners False)."""
        return _enlarged(self.predictions["0"](x), size)

    def prediction_layers(self) -> list[nn.Module]:
        """The layer whose bias is the output's starting value."""
        return list(self.predictions.values())


def _factor(own: int, asked: int | None) -> int:
    """Predictions along each side of a cell of the last level."""
    if asked is None:
        return 1
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1 or own % asked:
        raise ValueError(
            f"`prediction_stride` is {asked!r}; expected a number that divides the size's own {own}."
        )
    return own // asked


def _detail(channels: int, outputs: int, factor: int) -> nn.Sequential:
    """A finer map at the stride of the last level: the factor x factor cells of it become channels."""
    spread = channels * factor**2
    kernel = 2 * (factor // 2) + 1
    return nn.Sequential(
        nn.Conv2d(
            channels, spread, kernel, factor, padding=kernel // 2, groups=channels, bias=False
        ),
        nn.BatchNorm2d(spread),
        pointwise(spread, outputs),
    )


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
