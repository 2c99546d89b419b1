"""The decoder on pyramids of every kind, and its options."""

import pytest
import torch
from torch import nn

from crosstask.models.decoders.densemtl import ConvUnit, Decoder
from crosstask.models.encoders.encoder import Encoder
from crosstask.models.layers.aspp import ASPP
from crosstask.models.layers.width import scale_channels
from crosstask.models.networks.network import Network

CHANNELS = {2: 8, 4: 12, 8: 16, 16: 20, 32: 24}


class Pyramid(nn.Module):
    """A linear map of the image for each stride."""

    def __init__(self, strides):
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(3, CHANNELS[s], s, stride=s) for s in strides)

    def forward(self, image):
        return [layer(image) for layer in self.maps]


def network(strides, **options):
    channels = [CHANNELS[s] for s in strides]
    encoder = Encoder(Pyramid(strides), channels, strides)
    return Network(encoder, {"depth": Decoder(channels, strides, 1, width=0.125, **options)})


@pytest.mark.parametrize(
    "strides",
    [
        (2, 4, 8, 16),
        (2, 4, 8, 16, 16),
        (4, 8, 16, 32),
        (2, 4, 8, 16, 32),
        (8, 32),
        (16,),
        (32,),
        (2, 8),
    ],
    ids=str,
)
def test_any_pyramid(strides):
    model = network(strides).eval()
    decoder = model.decoders["depth"]
    assert set(decoder.skips) == {{2: 1, 4: 2, 8: 3, 16: 4}[s] for s in strides[:-1]}
    with torch.no_grad():
        coarse, fine = model(torch.rand(2, 3, 40, 70))["depth"]
    assert coarse.shape == (2, 1, 20, 35)
    assert fine.shape == (2, 1, 40, 70)


def test_every_map_reaches_the_output():
    model = network((2, 4, 8, 16, 32)).eval()
    features = [f.detach().requires_grad_() for f in model.encode(torch.rand(1, 3, 64, 64))]
    model.decode(features, (64, 64))["depth"][-1].sum().backward()
    assert all(feature.grad.abs().max() > 0 for feature in features)


@pytest.mark.parametrize("strides", [(), (2, 64), (3, 6)])
def test_other_strides_are_refused(strides):
    with pytest.raises(ValueError, match="strides"):
        Decoder([8] * len(strides), strides, 1)


def count(module, kind):
    return sum(isinstance(m, kind) for m in module.modules())


def test_options_of_the_decoder():
    args = ((8, 12, 16, 20, 24), (2, 4, 8, 16, 16), 1)
    plain = Decoder(*args, width=0.125)
    norms = count(plain, nn.BatchNorm2d)
    assert norms == 6  # those of ASPP: five branches and the projection
    assert count(Decoder(*args, width=0.125, batch_norm=True), nn.BatchNorm2d) == norms + 9
    assert count(Decoder(*args, width=0.125, skip_projection=True), nn.BatchNorm2d) == norms + 4
    assert count(Decoder(*args, width=0.125, aspp_pooling=False), nn.BatchNorm2d) == norms - 1
    assert count(plain, nn.Dropout) == 1
    assert count(Decoder(*args, width=0.125, dropout=0.1), nn.Dropout) == 1 + 9
    assert Decoder(*args, aspp_dropout=0.25).stages["4"].reduce.project[3].p == 0.25
    projected = Decoder(*args, width=0.125, skip_projection=True).stages["1"]
    assert projected.skip[0].weight.shape == (16, 8, 1, 1)
    assert projected.merge[0].weight.shape == (16, 32, 3, 3)
    assert plain.stages["1"].merge[0].weight.shape == (16, 24, 3, 3)
    assert [m.dilation[0] for m in Decoder(*args, rates=(1, 2, 3)).modules()
            if isinstance(m, nn.Conv2d) and m.dilation[0] > 1] == [2, 3]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{"batch_norm": True}, {"dropout": 0.2}, {"skip_projection": True}, {"aspp_pooling": False}],
    ids=str,
)
def test_options_change_the_output_and_learn(options):
    torch.manual_seed(1)
    model = network((2, 4, 8, 16), **options).train()
    output = model(torch.rand(2, 3, 64, 64))["depth"]
    (output[0].square().sum() + output[1].square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_predictions_at_every_level():
    model = network((2, 4, 8, 16), prediction_levels=(0, 3, 1, 4, 2)).eval()
    sizes = [x.shape[-1] for x in model(torch.rand(1, 3, 64, 64))["depth"]]
    assert sizes == [4, 8, 16, 32, 64]
    assert len(model.prediction_layers("depth")) == 5


def test_conv_unit_reflects_and_rectifies():
    unit = ConvUnit(1, 1)
    nn.init.zeros_(unit[0].weight)
    nn.init.zeros_(unit[0].bias)
    unit[0].weight.data[0, 0, 1, 0] = 1.0  # reads the left neighbour
    row = torch.tensor([[[[1.0, -1.0, 3.0], [1.0, -1.0, 3.0]]]])
    expected = torch.tensor([torch.expm1(torch.tensor(-1.0)), 1.0, torch.expm1(torch.tensor(-1.0))])
    assert torch.allclose(unit(row)[0, 0, 0], expected)  # left of 1 is its mirror image, -1


def test_aspp_pooling_sees_the_whole_map():
    near, whole = ASPP(2, 8, (1, 1, 1), pooling=False).eval(), ASPP(2, 8, (1, 1, 1)).eval()
    image = torch.rand(1, 2, 9, 9)
    other = image.clone()
    other[..., 8, 8] += 1
    with torch.no_grad():
        assert torch.equal(near(image)[..., 0, 0], near(other)[..., 0, 0])
        assert not torch.equal(whole(image)[..., 0, 0], whole(other)[..., 0, 0])


def test_one_image_in_training_uses_the_running_statistics():
    aspp = ASPP(2, 8).train()
    before = aspp.pooling[2].running_mean.clone()
    image = torch.rand(1, 2, 4, 4)
    pooled = aspp.pooling(image)
    assert torch.equal(pooled, aspp.eval().pooling(image))
    assert torch.equal(before, aspp.pooling[2].running_mean)
    aspp.train().pooling(torch.rand(2, 2, 4, 4))
    assert not torch.equal(before, aspp.pooling[2].running_mean)


def test_scaling_of_channels():
    assert [scale_channels(256, w) for w in (1, 0.5, 0.25, 0.1, 0.001)] == [256, 128, 64, 24, 8]
    assert scale_channels(64, 0.3, multiple=1) == 19
    with pytest.raises(ValueError, match="width"):
        scale_channels(64, -1)
