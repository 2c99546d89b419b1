"""Inputs of one, four and more channels; pretrained first convolutions adapted as timm does."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import adapt_input_conv

from crosstask.models import create_model
from crosstask.models.encoders.normalization import NORMALIZATIONS, for_channels
from crosstask.models.flops import count_macs
from crosstask.models.registry import create_model_from_spec

TASKS = {"segmentation": 3}


def make(**options: Any) -> Any:
    given = {"encoder": "resnet10t", "pretrained": False, "width": 0.0625}
    return create_model("multi_task", TASKS, **{**given, **options})


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_any_number_of_channels(channels: int) -> None:
    network = make(in_channels=channels).eval()
    assert network.in_channels == channels
    assert network(torch.rand(1, channels, 32, 32))["segmentation"][-1].shape == (1, 3, 32, 32)
    again = create_model_from_spec(network.spec)
    assert again.in_channels == channels
    assert again.spec["normalization"] == network.spec["normalization"]
    assert len(network.spec["normalization"]["mean"]) == channels
    assert count_macs(network, (32, 32))["total"]["macs"] > 0


def test_three_channels_are_as_ever() -> None:
    assert "in_channels" not in make().spec and make().spec["normalization"] == "imagenet"
    with pytest.raises(ValueError, match="`in_channels`"):
        make(in_channels=0)


@pytest.mark.parametrize(("has", "given"), [(4, 3), (3, 4), (3, 1), (1, 3)])
def test_an_image_of_other_channels_is_an_error(has: int, given: int) -> None:
    with pytest.raises(ValueError, match=f"has {given} channel.*takes {has}"):
        make(in_channels=has)(torch.rand(1, given, 32, 32))


@pytest.mark.parametrize("channels", [1, 4])
def test_pretrained_weights_are_adapted(tmp_path: Path, channels: int) -> None:
    whole = timm.create_model("resnet10t", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    network = make(in_channels=channels, encoder_weights=str(tmp_path / "weights.pth"))
    first = next(iter(network.encoder.backbone.parameters()))
    expected = adapt_input_conv(channels, next(iter(whole.parameters())).detach())
    assert torch.equal(first, expected)


def test_normalisation_of_further_channels() -> None:
    means, deviations = NORMALIZATIONS["imagenet"]
    assert for_channels("imagenet", 3) == "imagenet"
    four = for_channels("imagenet", 4)
    assert isinstance(four, dict)
    assert four["mean"][:3] == pytest.approx(means) and four["std"][:3] == pytest.approx(deviations)
    assert four["mean"][3] == pytest.approx(sum(means) / 3, abs=1e-5)
    one = for_channels("imagenet", 1)
    assert isinstance(one, dict) and one["mean"] == pytest.approx([sum(means) / 3], abs=1e-5)
    assert for_channels(four, 4) == four
