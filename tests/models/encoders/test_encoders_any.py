"""Encoders of every kind: strides, channels, sizes, prefix tokens, freezing; under every network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from crosstask.models.encoders.encoder import Encoder, create_encoder
from crosstask.models.encoders.pyramid_maps import PyramidMaps, create_pyramid_encoder
from crosstask.models.registry import create_model

SMALL_VIT = {"embed_dim": 24, "depth": 4, "num_heads": 2}


SMALL_SWIN = {"embed_dim": 12, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 2)}


KINDS = {
    "resnet": ("test_resnet", {}, (2, 4, 8, 16, 32)),
    "convnext": ("test_convnext", {}, (4, 8, 16, 32)),
    "swin": ("swin_tiny_patch4_window7_224", SMALL_SWIN, (4, 8, 16, 32)),
    "swin2": ("swinv2_tiny_window8_256", SMALL_SWIN, (4, 8, 16, 32)),
    "vit16": ("vit_tiny_patch16_224", SMALL_VIT, (4, 8, 16, 32)),
    "dinov2": ("vit_small_patch14_dinov2", SMALL_VIT, (4, 8, 16, 32)),
    "dinov2_registers": ("vit_small_patch14_reg4_dinov2", SMALL_VIT, (4, 8, 16, 32)),
    "dinov3": ("vit_small_patch16_dinov3", {**SMALL_VIT, "num_heads": 6}, (4, 8, 16, 32)),
}


def encoder(kind: str, **options) -> Encoder:
    name, small, _ = KINDS[kind]
    return create_pyramid_encoder(name, pretrained=False, **small, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_what_the_encoder_says(kind: str) -> None:
    module = encoder(kind)
    assert module.strides == KINDS[kind][2]
    for size in ((64, 96), (32, 160)):
        maps = module(torch.rand(2, 3, *size))
        shapes = [
            (2, c, size[0] // s, size[1] // s)
            for c, s in zip(module.channels, module.strides, strict=True)
        ]
        assert [tuple(x.shape) for x in maps] == shapes
    sum((x**2).sum() for x in maps).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []


def test_hrnet_gives_its_four_branches() -> None:
    module = create_encoder("hrnet_w18_small_v2", pretrained=False)
    assert module.channels == (64, 18, 36, 72, 144) and module.strides == (2, 4, 8, 16, 32)
    assert sum(p.numel() for p in module.parameters()) == 3_860_720


@pytest.mark.parametrize("kind", ["resnet", "convnext", "swin", "dinov2_registers"])
@pytest.mark.parametrize("name", ["sca_mtl", "mti_net", "atrc"])
def test_every_kind_carries_the_multi_scale_networks(kind: str, name: str, monkeypatch) -> None:
    backbone, small, _ = KINDS[kind]
    from crosstask.models import registry

    def create(given, pretrained, normalization, output_stride=None):
        return create_pyramid_encoder(given, pretrained, normalization, output_stride, **small)

    architecture = registry.ARCHITECTURES[name]
    monkeypatch.setitem(
        registry.ARCHITECTURES,  # type: ignore[arg-type]
        name,
        replace(architecture, create_encoder=create),
    )
    tasks = {"segmentation": 5, "depth": 1}
    model = create_model(name, tasks, encoder=backbone, pretrained=False, width=0.125).eval()
    assert model.maps.channels == (6, 6, 12, 18)
    with torch.no_grad():
        outputs = model(torch.rand(1, 3, 45, 70))
    assert outputs["depth"][-1].shape == (1, 1, 45, 70)


@pytest.mark.parametrize("kind", ["resnet", "dinov2"])
def test_frozen_means_weights_norms_and_stochastic_depth(kind: str) -> None:
    options = {"drop_path_rate": 0.5} if kind == "dinov2" else {}
    module = encoder(kind, **options)
    model = nn.ModuleDict({"encoder": module}).train()
    module.freeze()
    model.train()
    (part,) = module.pretrained_parts()
    assert not part.training and not any(p.requires_grad for p in part.parameters())
    before = {name: x.clone() for name, x in part.state_dict().items()}
    image = torch.rand(2, 3, 64, 64)
    first = module(image)
    assert all(torch.equal(x, y) for x, y in zip(first, module(image), strict=True))
    assert all(torch.equal(x, before[name]) for name, x in part.state_dict().items())
    learning = [name for name, p in module.named_parameters() if p.requires_grad]
    # the pyramid starts from random weights: it goes on learning
    assert bool(learning) is (kind == "dinov2")
    assert all(name.startswith("backbone.pyramid.") for name in learning)
    assert module.training


def test_networks_that_take_one_size_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes images of \(224, 224\) pixels only"):
        create_encoder("beit_base_patch16_224", pretrained=False)
    with pytest.raises(ValueError, match="has strides 4, 8, 16 and 32"):
        create_encoder("vit_tiny_patch16_224", False, output_stride=16, **SMALL_VIT)


def test_neck_widths() -> None:
    hrnet = create_encoder("hrnet_w18_small_v2", pretrained=False)
    plain = PyramidMaps(hrnet)
    assert plain.channels == (18, 36, 72, 144) and not len(plain.neck)
    assert PyramidMaps(hrnet, True).channels == (18, 36, 72, 144)
    assert len(PyramidMaps(hrnet, True).neck) == 4
    assert PyramidMaps(hrnet, "auto", 0.5).channels == (12, 18, 36, 72)
    resnet = encoder("resnet")
    assert PyramidMaps(resnet).channels == (18, 36, 72, 144)
    assert PyramidMaps(resnet, False).channels == resnet.channels[1:]
