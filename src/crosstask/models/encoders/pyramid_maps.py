"""The four maps at strides 4, 8, 16 and 32 that the multi-scale architectures work on."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.encoders.normalization import Normalization
from crosstask.models.layers.linear_attention import pointwise
from crosstask.models.layers.sizes import cell_count, crop

STRIDES = (4, 8, 16, 32)
NECK_CHANNELS = (18, 36, 72, 144)
Neck = str | bool | Sequence[int]


def create_pyramid_encoder(
    name: str,
    pretrained: bool = True,
    normalization: Normalization = "auto",
    output_stride: int | None = None,
    **options: Any,
) -> Encoder:
    """:func:`create_encoder` at the network's own strides: these architectures need stride 32."""
    if output_stride not in (None, 32):
        raise ValueError(
            f"`output_stride` is {output_stride}; this architecture needs maps at strides "
            f"{STRIDES}; pass output_stride=None."
        )
    return create_encoder(name, pretrained, normalization, 32, **options)


class PyramidMaps(nn.Module):
    """Picks the maps at strides 4 to 32 out of an encoder's; brings them to set widths if asked.

    Args:
        encoder: anything with ``channels`` and ``strides``.
        neck: ``True`` puts a 1x1 convolution, batch norm and ReLU on each map, to the widths of
            HRNet-W18 (18, 36, 72, 144) times ``width``, rounded to multiples of 6; a sequence
            gives four widths (taken as they are); ``False`` takes the encoder's maps. ``"auto"``
            is ``False`` for a network of HRNet's kind (widths c, 2c, 4c, 8c with c a multiple of 6
            up to 48) at ``width`` 1, else ``True``.
        width: scales the neck's default widths.

    Attributes:
        channels: widths of the four maps, fine to coarse.

    Raises:
        ValueError: a stride is missing, or ``width`` is given without a neck.
    """

    def __init__(self, encoder: Encoder, neck: Neck = "auto", width: float = 1.0) -> None:
        super().__init__()
        missing = [stride for stride in STRIDES if stride not in encoder.strides]
        if missing:
            raise ValueError(
                f"the encoder has strides {encoder.strides}; expected {STRIDES} among them; take "
                "an encoder with all of them, such as hrnet_w18_small_v2, resnet18 or a plain ViT."
            )
        last = {stride: i for i, stride in enumerate(encoder.strides)}
        self.indices = tuple(last[stride] for stride in STRIDES)
        given = tuple(encoder.channels[i] for i in self.indices)
        self.channels = neck_channels(given, neck, width)
        self.neck = nn.ModuleList(
            pointwise(inner, outer) for inner, outer in zip(given, self.channels, strict=True)
        )
        if self.channels == given and neck in ("auto", False):
            self.neck = nn.ModuleList()

    def forward(self, features: list[Tensor]) -> list[Float[Tensor, "b _ _ _"]]:
        """All maps of the encoder in, four maps fine to coarse out."""
        maps = [features[i] for i in self.indices]
        if not len(self.neck):
            return maps
        return [neck(x) for neck, x in zip(self.neck, maps, strict=True)]


def neck_channels(given: Sequence[int], neck: Neck, width: float) -> tuple[int, ...]:
    """The widths that ``neck`` asks for, see :class:`PyramidMaps`."""
    if not width > 0:
        raise ValueError(f"`width` is {width}; expected a number above 0; 1.0 is the paper's size.")
    if neck == "auto":
        first = given[0]
        doubling = tuple(given) == tuple(first * 2**i for i in range(4))
        neck = not (doubling and first % 6 == 0 and first <= 48 and width == 1)
    if neck is False:
        if width != 1:
            raise ValueError(
                f"`width` is {width} with neck=False; the widths then follow the encoder: take "
                "neck=True, or width=1."
            )
        return tuple(given)
    if neck is True:
        return tuple(max(6, round(c * width / 6) * 6) for c in NECK_CHANNELS)
    if isinstance(neck, str) or len(neck) != 4:
        raise ValueError(f"`neck` is {neck!r}; expected 'auto', True, False or four widths.")
    return tuple(neck)


def fit_output(
    output: Float[Tensor, "b c hs ws"], stride: int, size: tuple[int, int]
) -> Float[Tensor, "b c _ _"]:
    """The part of a padded image's map that shows the image, ceil(H/stride) x ceil(W/stride).

    Where the image ends inside a cell the map is resampled (bilinear), so that resizing the
    result to the image's size puts everything where it belongs.

    Args:
        output: a map of the padded image.
        stride: pixels per cell.
        size: height and width of the image, without padding.
    """
    height, width = size
    if height % stride == 0 and width % stride == 0:
        return crop(output, (height // stride, width // stride))
    b, c, rows, columns = output.shape
    small = (cell_count(height, stride), cell_count(width, stride))
    scale_y, scale_x = height / (rows * stride), width / (columns * stride)
    theta = output.new_tensor([[scale_x, 0.0, scale_x - 1], [0.0, scale_y, scale_y - 1]])
    grid = functional.affine_grid(theta.expand(b, 2, 3), [b, c, *small], align_corners=False)
    return functional.grid_sample(output, grid, padding_mode="border", align_corners=False)
