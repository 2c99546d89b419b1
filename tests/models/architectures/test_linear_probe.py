"""The linear probe: linear, frozen, and of nothing but the encoder's own maps."""

import pytest
import torch
from torch.nn import functional

from crosstask.models import create_model
from crosstask.models.encoders.plain_transformer import SimplePyramid

TASKS = {"segmentation": 3, "depth": 1}


def probe(encoder="test_resnet", **options):
    return create_model("linear_probe", TASKS, encoder=encoder, pretrained=False, **options)


@torch.no_grad()
def test_it_is_one_convolution_of_all_maps_at_stride_4():
    model = probe().eval()
    image = torch.rand(2, 3, 64, 96)
    maps = model.encode(image)
    assert model.encoder.strides[-1] == 32, "as the weights were trained, not dilated"
    resized = [
        functional.interpolate(x, size=(16, 24), mode="bilinear", align_corners=False) for x in maps
    ]
    output = model(image)
    for task in TASKS:
        layer = model.prediction_layers(task)[0]
        small = functional.conv2d(torch.cat(resized, 1), layer.weight, layer.bias)
        full = functional.interpolate(small, size=(64, 96), mode="bilinear", align_corners=False)
        assert len(output[task]) == 1
        torch.testing.assert_close(output[task][0], full, rtol=1e-4, atol=1e-5)


def test_only_the_convolutions_learn():
    model = probe().train()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning == [
        f"decoders.{task}.predictions.0.{part}" for task in TASKS for part in ("weight", "bias")
    ]
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    sum(o[-1].square().mean() for o in model(torch.rand(2, 3, 64, 64)).values()).backward()
    assert all(torch.equal(before[k], v) for k, v in model.encoder.state_dict().items())
    assert not any(module.training for module in model.encoder.backbone.modules())


def test_a_plain_transformer_is_read_without_a_pyramid_that_would_learn():
    from crosstask.models.architectures.linear_probe import create_probed_encoder, linear_probe
    from models.encoders.test_encoders_any import SMALL_VIT

    encoder = create_probed_encoder("vit_small_patch16_224", False, **SMALL_VIT)
    model = linear_probe(encoder, TASKS)
    assert not any(isinstance(module, SimplePyramid) for module in model.modules())
    assert encoder.strides == (16, 16, 16, 16)
    assert model(torch.rand(1, 3, 64, 96))["depth"][-1].shape == (1, 1, 64, 96)
    assert all(
        name.startswith("decoders") for name, p in model.named_parameters() if p.requires_grad
    )


def test_options_of_other_architectures_are_refused():
    with pytest.raises(ValueError, match="option of 'linear_probe'"):
        probe(levels=(1,))
