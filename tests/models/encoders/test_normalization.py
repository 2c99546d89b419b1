"""What images are normalised with: that of the weights, by number for every family of encoders."""

import pytest
import torch

from crosstask.models import create_encoder
from crosstask.models.encoders.normalization import choose_normalization, statistics

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
OF_WEIGHTS = {
    **dict.fromkeys(
        (
            "tf_efficientnet_lite0",
            "tf_efficientnet_lite1",
            "tf_efficientnet_lite2",
            "tf_efficientnetv2_s",
            "vit_small_patch16_224",
            "beit_base_patch16_224",
            "resnetv2_50",
        ),
        HALF,
    ),
    **dict.fromkeys(
        (
            "resnet18.tv_in1k",
            "resnet101.tv_in1k",
            "convnext_tiny",
            "swin_tiny_patch4_window7_224",
            "deit_small_patch16_224",
            "vit_small_patch14_dinov2",
            "mobilenetv4_conv_small",
            "resnet10t",
            "hrnet_w18_small_v2",
        ),
        "imagenet",
    ),
    "vit_base_patch16_clip_224.openai": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
    },
}


@pytest.mark.parametrize(("encoder", "expected"), OF_WEIGHTS.items(), ids=list(OF_WEIGHTS))
def test_weights_bring_their_own(encoder, expected):
    assert choose_normalization("auto", encoder, pretrained=True) == expected
    assert choose_normalization("auto", encoder, pretrained=False) == "imagenet"
    assert choose_normalization("released", encoder, pretrained=True) == "released"


def test_random_weights_keep_imagenets():
    encoder = create_encoder("test_resnet", pretrained=False)  # whose weights have 0.5
    assert encoder.normalization == "imagenet"
    assert encoder.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_numbers_by_hand():
    encoder = create_encoder("test_resnet", pretrained=False, normalization=HALF)
    image = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert ((image - encoder.mean) / encoder.std).flatten().tolist() == [-1, 0, 1]
    encoder.normalize_with("released")
    assert encoder.normalization == "released"
    assert encoder.std.flatten().tolist() == pytest.approx([0.225] * 3)
    assert not any(name in ("mean", "std") for name in encoder.state_dict())


@pytest.mark.parametrize(
    "wrong", ["cifar", {"mean": [0.5] * 3}, {"mean": [0.5] * 3, "std": [0.5, 0.5, 0.0]}], ids=str
)
def test_what_is_no_normalisation_is_refused(wrong):
    with pytest.raises(ValueError, match="normalization"):
        statistics(wrong)
    with pytest.raises(ValueError, match="normalization"):
        create_encoder("test_resnet", pretrained=False, normalization=wrong)
