"""The family `fast`: what each size is made of, where its exchange sits, and how it predicts."""

import pytest
import torch
from torch.nn import functional

from crosstask.models import create_model
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.registry import set_initial_bias

TASKS = {"segmentation": 3, "depth": 1, "normals": 3, "edges": 2}


def fast(tasks=TASKS, **options):
    return create_model("fast", tasks, encoder="test_resnet", pretrained=False, **options)


@pytest.mark.parametrize(
    ("size", "stride", "widths"),
    [("n", 8, (64, 48, 48)), ("s", 4, (128, 96, 64)), ("m", 4, (192, 128, 96))],
)
@torch.no_grad()
def test_sizes(size, stride, widths):
    model = fast(size=size).eval()
    image = torch.rand(2, 3, 64, 96)
    features = model.encode(image)
    shapes, x = [], None
    for level in model.levels:
        x = model.decoders["depth"].stage(level, x, features)
        shapes.append(tuple(x.shape[1:]))
    strides = (16, 8, stride)
    assert shapes == [(c, 64 // s, 96 // s) for c, s in zip(widths, strides, strict=True)]
    outputs = model(image)
    for task, channels in TASKS.items():
        assert [tuple(o.shape) for o in outputs[task]] == [(2, channels, 64, 96)]


@torch.no_grad()
def test_the_prediction_is_enlarged_once():
    model = fast(exchange=None).eval()
    image = torch.rand(1, 3, 64, 64)
    features = model.encode(image)
    decoder, x = model.decoders["depth"], None
    for level in model.levels:
        x = decoder.stage(level, x, features)
    small = decoder.predictions["0"](x)
    assert small.shape[-2:] == (16, 16)
    full = functional.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(image)["depth"][-1], full)


@torch.no_grad()
def test_images_that_no_stride_divides_and_the_context_of_the_whole_image():
    model = fast(exchange=None).eval()
    image = torch.rand(1, 3, 50, 70)
    assert model(image)["depth"][-1].shape == (1, 1, 50, 70)
    features = model.encode(image)
    decoder = model.decoders["depth"]
    before = decoder.stage(4, None, features)
    mean = features[-1].mean((2, 3), keepdim=True)
    context = decoder.context(mean)
    decoder.context.weight.zero_(), decoder.context.bias.zero_()
    without = decoder.stage(4, None, features)
    assert not torch.equal(before, without)
    decoder.deepest[1].bias += context[0, :, 0, 0]  # the same number everywhere
    torch.testing.assert_close(decoder.stage(4, None, features), before)


@pytest.mark.parametrize(
    ("size", "asked", "detailed"),
    [("s", 2, True), ("s", 1, False), ("n", 4, True), ("n", 2, True), ("s", 4, False)],
)
@torch.no_grad()
def test_finer_predictions_are_made_from_the_same_coarse_features(size, asked, detailed):
    model = fast(size=size, prediction_stride=asked, exchange=None).eval()
    own = {"s": 4, "n": 8}[size]
    image = torch.rand(1, 3, 64, 96)
    features, x = model.encode(image), None
    decoder = model.decoders["depth"]
    for level in model.levels:
        x = decoder.stage(level, x, features)
    assert x.shape[-2:] == (64 // own, 96 // own)
    layer = decoder.predictions["0"]
    assert layer(x).shape == (1, 1, 64 // asked, 96 // asked)
    assert (decoder.detail is not None) == detailed
    assert model(image)["depth"][-1].shape == (1, 1, 64, 96)
    assert model(torch.rand(1, 3, 50, 70))["depth"][-1].shape == (1, 1, 50, 70)


@torch.no_grad()
def test_every_cell_of_the_finer_map_is_read_and_predicted():
    """One cell of stride 2 changed in the encoder's map changes what is predicted there."""
    model = fast(prediction_stride=2, exchange=None).eval()
    features = model.encode(torch.rand(1, 3, 64, 64))
    decoder = model.decoders["depth"]
    index = model.encoder.strides.index(2)

    def predicted(maps):
        x = None
        for level in model.levels:
            x = decoder.stage(level, x, maps)
        return decoder.predictions["0"](x)

    before = predicted(features)
    for row, column in [(16, 16), (16, 17), (17, 16), (17, 17)]:  # the four of one cell of stride 4
        changed = list(features)
        changed[index] = features[index].clone()
        changed[index][0, :, row, column] += 100
        difference = (predicted(changed) - before).abs()[0, 0]
        assert difference[row, column] > 0
        assert difference.flatten().argmax() in range(32 * 12, 32 * 22), "near the cell"
    # Each of the four is predicted by weights of its own.
    weight = decoder.predictions["0"].weight
    assert weight.shape[-2:] == (2, 2) and len(weight[:, 0].flatten(1).T.unique(dim=0)) == 4


def test_the_starting_value_of_finer_predictions_is_one_number_a_channel():
    model = fast(prediction_stride=2)
    set_initial_bias(model, "normals", (0.0, 1.0, 2.0))
    (layer,) = model.prediction_layers("normals")
    with torch.no_grad():
        layer.weight.zero_()
        outputs = model.eval()(torch.rand(1, 3, 64, 64))["normals"][-1]
    for channel, value in enumerate((0.0, 1.0, 2.0)):
        torch.testing.assert_close(outputs[:, channel], torch.full((1, 64, 64), value))


def test_the_exchange_sits_at_strides_16_and_8_and_can_be_left_out():
    model = fast()
    assert {k: type(m) for k, m in model.exchanges.items()} == {
        "4": LinearExchange,
        "3": LinearExchange,
    }
    assert [m.extractors["depth"][1].out_channels for m in model.exchanges.values()] == [128, 96]
    assert len(fast(exchange=None).exchanges) == 0
    assert list(fast(levels=4).exchanges) == ["4"]
    plain = fast(exchange_options={"attention": None, "gate": False})
    assert all(m.kind is None and m.gates is None for m in plain.exchanges.values())
    assert len(fast({"depth": 1}).exchanges) == 0, "one task has nothing to exchange"


def test_the_exchange_moves_gradients_between_tasks():
    model = fast().eval()
    model(torch.rand(1, 3, 64, 64))["depth"][-1].mean().backward()
    first = model.decoders["segmentation"].deepest[0].weight
    assert first.grad is not None and float(first.grad.abs().sum()) > 0


def test_the_encoder_keeps_its_own_stride():
    assert fast().encoder.strides[-1] == 32
    assert fast(output_stride=16).encoder.strides[-1] == 16


def test_wrong_options():
    with pytest.raises(ValueError, match="`size` is 'x'; expected one of"):
        fast(size="x")
    with pytest.raises(ValueError, match="`levels` is 1"):
        fast(levels=1)
    for asked in (3, 8, 0, True):
        with pytest.raises(ValueError, match=f"`prediction_stride` is {asked}; expected a number"):
            fast(prediction_stride=asked)
