"""Plain vision transformers (ViT, DINO, DINOv2, DINOv3) as an encoder with a feature pyramid.

Sources: Li et al., "Exploring plain vision transformer backbones for object detection" (ViTDet),
ECCV 2022, for the simple feature pyramid; timm for the transformers.
"""

from collections.abc import Sequence
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CELL = 16


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Every position on its own."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SimplePyramid(nn.Module):
    """Four maps of stride 16 to strides 4, 8, 16 and 32.

    Two transposed convolutions (2x2, halving the width each) to stride 4, one to stride 8, nothing
    at 16, max-pooling to 32; a layer norm over channels at the end of each.

    Args:
        channels: width of the four maps.

    Attributes:
        channels: widths of the results, fine to coarse: a quarter, a half, the whole, the whole.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.channels = (quarter, half, channels, channels)
        self.scales = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(channels, half, 2, 2),
                    ChannelNorm(half),
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, 2),
                ),
                nn.ConvTranspose2d(channels, half, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, 2),
            ]
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for width in self.channels)

    def forward(self, maps: Sequence[Float[Tensor, "b c h w"]]) -> list[Float[Tensor, "b _ _ _"]]:
        """Maps of four depths, the shallowest first, in; fine to coarse out."""
        return [
            norm(scale(x)) for norm, scale, x in zip(self.norms, self.scales, maps, strict=True)
        ]


class PlainTransformer(nn.Module):
    """A timm transformer of one resolution, and the pyramid that makes four strides of it.

    Images of any multiple of 32 pixels: a transformer whose patch is not 16 pixels sees the image
    resized (bilinear, antialiased) so that its grid has stride 16 (patch 14: to 14/16 of the
    size). Class and register tokens take part in its attention and are dropped afterwards.

    Args:
        transformer: a timm model with ``forward_intermediates`` and variable image size.
        pyramid: False gives the four maps as they are, all at stride 16.
        depths: indices of the four blocks that are tapped, rising; spread evenly up to the last
            by default.

    Attributes:
        channels, strides: of the pyramid, fine to coarse.

    Raises:
        ValueError: a transformer of fewer than four blocks, or wrong ``depths``.
    """

    def __init__(
        self, transformer: nn.Module, depths: Sequence[int] | None = None, pyramid: bool = True
    ) -> None:
        super().__init__()
        blocks = len(cast(nn.ModuleList, transformer.blocks))
        given = [round(blocks * (i + 1) / 4) - 1 for i in range(4)] if depths is None else depths
        if (
            len(given) != 4
            or sorted(set(given)) != list(given)
            or not 0 <= given[0] <= given[-1] < blocks
        ):
            raise ValueError(
                f"`depths` is {tuple(given)}; expected four rising indices of the {blocks} blocks."
            )
        self.transformer = _headless(transformer)
        self.depths = tuple(given)
        width = cast(Any, transformer).embed_dim
        self.pyramid = SimplePyramid(width) if pyramid else None
        self.channels = (width,) * 4 if self.pyramid is None else self.pyramid.channels
        self.strides = (CELL,) * 4 if self.pyramid is None else (4, 8, 16, 32)
        self.patch = int(cast(Any, transformer).patch_embed.patch_size[0])

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Normalised image in, four maps fine to coarse out; cost is quadratic in the pixels."""
        maps = self.maps(image)
        return maps if self.pyramid is None else self.pyramid(maps)

    def maps(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The four maps of the transformer alone, at stride 16."""
        rows, columns = image.shape[-2] // CELL, image.shape[-1] // CELL
        if self.patch != CELL:
            size = (rows * self.patch, columns * self.patch)
            image = functional.interpolate(image, size=size, mode="bilinear", antialias=True)
        maps = cast(Any, self.transformer).forward_intermediates(
            image, indices=list(self.depths), norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return list(maps)


class ChannelsFirst(nn.Module):
    """A timm backbone with channels last (Swin), as one with channels first."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_info = cast(Any, backbone).feature_info

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Maps (B,C,H,W)."""
        return [x.permute(0, 3, 1, 2).contiguous() for x in self.backbone(image)]


def _headless(transformer: nn.Module) -> nn.Module:
    """Without pooling and classification; a final norm that sits behind pooling comes before it."""
    # timm's transformers differ in which of these they have.
    behind = getattr(transformer, "fc_norm", None)
    if isinstance(transformer.norm, nn.Identity) and isinstance(behind, nn.Module):
        transformer.norm = behind
    for name in ("fc_norm", "attn_pool", "head", "head_dist"):  # as above
        if isinstance(getattr(transformer, name, None), nn.Module):
            setattr(transformer, name, nn.Identity())
    return transformer
