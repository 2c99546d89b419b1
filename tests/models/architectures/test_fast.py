"""The family `fast`: what each size is made of, where its exchange sits, and how it predicts."""

import pytest
import torch
from torch.nn import functional

from crosstask.models import create_model
from crosstask.models.exchanges.linear import LinearExchange

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
