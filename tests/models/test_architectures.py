"""What every architecture promises, and the published sizes of those that have any."""

import functools
import inspect
import json
import re

import pytest
import torch

from crosstask.models import (
    Encoder,
    Network,
    create_encoder,
    create_model,
    create_model_from_spec,
    list_models,
)
from crosstask.models.architectures.densemtl import check_levels
from crosstask.models.decoders.deeplab import DeepLabHead
from crosstask.models.exchanges.base import Exchange
from crosstask.models.flops import count_macs
from crosstask.models.registry import ARCHITECTURES, model_options

NAMES = list_models()
TASKS = {"segmentation": 5, "depth": 1, "normals": 3}
TINY = {"encoder": "test_resnet.r160_in1k", "pretrained": False, "width": 0.125}
EXCHANGING = ("densemtl", "densemtl_linear", "n_to_one", "padnet", "threeways_padnet", "window")


def tiny(name, tasks=TASKS, **options):
    return create_model(name, tasks, **{**TINY, **options})


def awake(model):
    """Scales that start at zero hide what is behind them (alpha, timm's last norms): wake them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ("alpha" in name or name.endswith("weight")) and not parameter.any():
                parameter.fill_(0.5)
    return model


def leaky(model):
    """Rectifiers that let a little through, so that none of a tiny network's few units is dead."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.LeakyReLU(0.1))
    return model


def flatten(output):
    """All tensors of an output, the auxiliary ones of some architectures too."""
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values for tensor in flatten(value)]


def close(one, other, tolerance=1e-5):
    return all(
        torch.allclose(a, b, atol=tolerance, rtol=1e-4)
        for a, b in zip(flatten(one), flatten(other), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    @pytest.mark.parametrize("size", [(64, 96), (33, 47)])
    def test_outputs(self, name, size):
        model = tiny(name).eval()
        with torch.no_grad():
            output = model(torch.rand(1, 3, *size))
        assert [task for task in output if task != "auxiliary"] == list(TASKS)
        for task, channels in TASKS.items():
            assert output[task][-1].shape == (1, channels, *size)
            areas = [prediction.shape[-2] * prediction.shape[-1] for prediction in output[task]]
            assert areas == sorted(areas)
            assert all(p.shape[1] == channels and p.isfinite().all() for p in output[task])

    def test_encode_then_decode_is_forward(self, name):
        model = tiny(name).eval()
        image = torch.rand(1, 3, 40, 70)
        with torch.no_grad():
            assert close(model.decode(model.encode(image), (40, 70)), model(image))

    def test_every_parameter_learns(self, name):
        silent = None
        for _ in range(6):  # a rectifier may be dead by chance, but not six times
            model = leaky(awake(tiny(name))).train()
            output = flatten(model(torch.rand(2, 3, 64, 64)))
            sum((tensor * torch.randn_like(tensor)).sum() for tensor in output).backward()
            quiet = {
                key
                for key, parameter in model.named_parameters()
                if parameter.requires_grad
                and (parameter.grad is None or not parameter.grad.abs().max() > 0)
            }
            silent = quiet if silent is None else silent & quiet
            if not silent:
                break
        assert not silent

    def test_images_of_a_batch_do_not_mix(self, name):
        model = awake(tiny(name)).eval()
        image, first, second = torch.rand(3, 1, 3, 64, 64)
        with torch.no_grad():
            alone = model(image)
            beside = [model(torch.cat([image, other])) for other in (first, second)]
        for output in beside:
            assert close([tensor[:1] for tensor in flatten(output)], alone)

    def test_trains_with_one_image(self, name):
        output = flatten(tiny(name).train()(torch.rand(1, 3, 64, 64)))
        assert all(tensor.isfinite().all() for tensor in output)

    def test_spec_rebuilds_it(self, name):
        model = awake(tiny(name)).eval()
        spec = json.loads(json.dumps(model.spec))
        twin = create_model_from_spec(spec).eval()
        twin.load_state_dict(model.state_dict())
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert close(twin(image), model(image), 0)
        assert twin.spec == model.spec

    def test_encoder_parameters_are_the_encoders(self, name):
        model = tiny(name)
        inside = {id(p) for p in model.encoder.parameters()}
        assert 0 < len(inside) < len(list(model.parameters()))
        assert all(id(p) in inside for n, p in model.named_parameters() if n.startswith("encoder."))

    def test_starts_at_the_bias_of_the_task(self, name):
        tasks = [Named("segmentation", 5, None), Named("normals", 3, (0.0, 0.25, -7.0))]
        model = tiny(name, tasks)
        layers = model.prediction_layers("normals")
        assert layers
        assert all(layer.bias.tolist() == [0.0, 0.25, -7.0] for layer in layers)

    def test_too_small_an_image_is_refused(self, name):
        with pytest.raises(ValueError, match="32x32"):
            tiny(name)(torch.rand(1, 3, 31, 64))

    def test_unknown_option_names_its_neighbours(self, name):
        with pytest.raises(ValueError, match=f"option of '{name}'"):
            tiny(name, no_such_option=1)


class Named:
    """The part of a task that models see."""

    def __init__(self, name, channels, bias):
        self.name, self.channels, self.bias = name, channels, bias

    def initial_bias(self):
        return self.bias


@pytest.mark.parametrize("name", EXCHANGING)
class TestExchanging:
    def test_one_task_is_refused_with_a_way_out(self, name):
        with pytest.raises(ValueError, match="single_task"):
            tiny(name, {"depth": 1})

    def test_an_edge_can_be_cut(self, name):
        model = awake(tiny(name)).eval()
        image = torch.rand(2, 3, 64, 64)
        exchange = next(iter(model.exchanges.values()))
        with torch.no_grad():
            before = model(image)
            for mode in ("mean", "zero"):
                with exchange.cut("depth", "normals", mode):
                    during = model(image)
                assert not torch.allclose(during["normals"][-1], before["normals"][-1], atol=1e-5)
                assert close(during["depth"], before["depth"])
            assert close(model(image), before, 0)

    def test_with_every_edge_cut_no_task_hears_another(self, name):
        model = awake(tiny(name)).eval()
        exchange = next(iter(model.exchanges.values()))
        exchange.cuts = {("depth", "normals"): "zero", ("segmentation", "normals"): "zero"}
        image = torch.rand(1, 3, 64, 64)
        features = model.streams(image, int(next(iter(model.exchanges))))
        other = {**features, "depth": features["depth"] + 1, "segmentation": -features["depth"]}
        if name == "densemtl_linear":
            other.pop("segmentation"), other.update(segmentation=features["segmentation"] + 1)
        with torch.no_grad():
            assert torch.equal(exchange(features)["normals"], exchange(other)["normals"])
            assert not torch.equal(exchange(features)["depth"], exchange(other)["depth"])


class Taps(torch.nn.Module):
    """The shapes of a dilated ResNet-101's maps, without the ResNet."""

    def forward(self, image):
        height, width = image.shape[-2:]
        taps = zip((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 16), strict=True)
        return [image.new_empty(1, c, height // stride, width // stride) for c, stride in taps]


@pytest.fixture(scope="module")
def resnet101():
    """Parameters and multiply-accumulates of the encoder, by image size."""
    with torch.device("meta"):
        encoder = create_encoder("resnet101", pretrained=False)
        decoder = DeepLabHead(encoder.channels, 1, width=0.125)
    network = Network(encoder, {"depth": decoder})

    @functools.cache
    def count(size):
        part = count_macs(network, size)["encoder"]
        return part["parameters"], part["macs"]

    return count


def sizes(name, classes, tasks, size, encoder):
    """Parameters in millions and GMACs of the full-size network."""
    channels = dict(zip("sdne", (classes, 1, 3, 2), strict=True))
    with torch.device("meta"):
        taps = Encoder(Taps(), (64, 256, 512, 1024, 2048), (2, 4, 8, 16, 16))
        model = ARCHITECTURES[name].build(taps, {task: channels[task] for task in tasks}, width=1.0)
    total = count_macs(model, size)["total"]
    parameters, macs = encoder(size)
    return (
        round((total["parameters"] + parameters) / 1e6, 2),
        round((total["macs"] + macs) / 1e9, 1),
    )


PUBLISHED = [
    # size, classes, tasks, MTL, PAD-Net, 3-ways PAD-Net, ours without exchange, ours
    ((512, 1024), 16, "sd", (74.76, 167.5), (46.71, 112.2), (87.22, 388.0), (86.63, 368.9), (87.40, 492.1)),
    ((512, 1024), 16, "sdn", (90.88, 199.5), (52.35, 123.8), (110.46, 559.0), (108.69, 501.3), (111.01, 870.9)),
    ((320, 1024), 14, "sd", (74.75, 104.7), (46.71, 70.2), (87.22, 242.5), (86.63, 230.5), (87.40, 299.5)),
    ((448, 576), 40, "sdne", (107.01, 113.9), (60.36, 69.0), (134.29, 369.2), (130.75, 312.4), (135.39, 624.8)),
]  # fmt: skip
COLUMNS = ("multi_task", "padnet", "threeways_padnet", "multi_task_matched", "densemtl")


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row[0][0]}x{row[0][1]}-{row[2]}")
def test_published_sizes(row, resnet101):
    size, classes, tasks, *expected = row
    for name, numbers in zip(COLUMNS, expected, strict=True):
        assert sizes(name, classes, tasks, size, resnet101) == numbers, name


def test_published_single_task_size(resnet101):
    assert sizes("single_task", 16, "s", (512, 1024), resnet101) == (58.63, 135.6)


def test_exact_parameters_of_densemtl():
    with torch.device("meta"):
        model = create_model("densemtl", {"segmentation": 14, "depth": 1}, pretrained=False)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(model) == 87_399_070
    assert count(model.encoder) == 42_500_160
    assert count(model.decoders["depth"].stages) == 22_061_440
    assert model.encoder.channels == (64, 256, 512, 1024, 2048)
    assert model.encoder.strides == (2, 4, 8, 16, 16)
    table = count_macs(model, (64, 64))
    assert table["exchanges"]["parameters"] == 773_120
    assert table["heads"]["parameters"] == 15 * (129 + 65)
    assert table["decoders"]["parameters"] == 2 * 22_061_440


@pytest.mark.parametrize(
    ("tasks", "options", "expected"),
    [
        ("sd", {"levels": (1,)}, 773_120),
        ("sdn", {"levels": (1,)}, 2_318_592),
        ("sdne", {"levels": (1,)}, 4_636_672),
        ("sd", {"levels": (2,)}, 773_120),
        ("sd", {"levels": (3,)}, 3_086_336),
        ("sd", {"levels": (4,)}, 3_086_336),
        ("sd", {"levels": (2, 1)}, 1_546_240),
        ("sd", {"levels": [4, 3, 2, 1]}, 7_718_912),
        ("sdn", {"levels": (3, 2, 1)}, 13_894_656),
        ("sdn", {"fusion": "product"}, 2_318_592),
        ("sdn", {"fusion": "concat"}, 2_367_744),
        ("sdn", {"correlation": None}, 1_920_000),
        ("sdn", {"self_attention": None}, 1_384_704),
        ("sdn", {"self_attention": "full"}, 3_252_480),
        ("sdn", {"alpha": False}, 2_317_824),
        ("sdn", {"kv_downscale": "s2"}, 2_318_592),
        ("sdn", {"correlation": "channel"}, 2_318_592),
        ("sdn", {"correlation": "both"}, 2_318_592 + 6 * (128 * 128 + 128)),
        ("sdn", {"correlation": None, "self_attention": None}, 0),
    ],
)
def test_exact_parameters_of_the_exchange(tasks, options, expected):
    channels = dict(zip("sdne", (14, 1, 3, 2), strict=True))
    with torch.device("meta"):
        model = create_model(
            "densemtl",
            {t: channels[t] for t in tasks},
            encoder="resnet10t",
            pretrained=False,
            **options,
        )
    assert sum(p.numel() for p in model.exchanges.parameters()) == expected


def test_trunks_of_the_baselines():
    with torch.device("meta"):
        deeplab = create_model("multi_task", {"a": 2, "b": 1}, pretrained=False)
        padnet = create_model("padnet", {"a": 2, "b": 1}, pretrained=False)
        ways = create_model("threeways_padnet", {"a": 2, "b": 1}, pretrained=False)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(deeplab.decoders["a"].trunk) == 16_125_440
    assert count(padnet.exchanges) == 2_359_296
    assert count(ways.exchanges) == 589_824


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": (5,)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"levels": (1, 1)}, "levels"),
        ({"levels": 5}, r"`levels` is 5; expected different ones out of \(4, 3, 2, 1, 0\)"),
        ({"prediction_levels": (1,)}, "prediction_levels"),
        ({"prediction_levels": (7, 0)}, "prediction_levels"),
        ({"fusion": "sum"}, "fusion"),
        ({"width": 0}, "width"),
        ({"normalization": "caffe"}, "normalization"),
        ({"fusio": "add"}, "did you mean fusion"),
        ({"encoder": "resnet_18"}, "did you mean resnet18"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny("densemtl", **options)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"segmentation", "depth"}, "order"),
        ({}, "at least one"),
        ([Named("depth", 1, None), Named("depth", 1, None)], "once"),
        ({"depth map": 1, "normals": 3}, "depth map"),
        ({"values": 1, "normals": 3}, "PyTorch"),
        ({"depth": 0, "normals": 3}, "channels"),
        (("segmentation", "depth"), r"holds 'segmentation'.*task objects.*mapping from name"),
    ],
)
def test_wrong_tasks_are_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        tiny("densemtl", tasks)


@pytest.mark.parametrize("name", NAMES)
def test_advice_can_be_followed(name):
    """What an error tells to pass is an option of that architecture."""
    known = [*inspect.signature(create_model).parameters, *model_options(name)]
    for wrong in ({"tasks": {"depth": 1}}, {"encoder": "vgg11"}, {"encoder": "zzzzqqqq"}):
        try:
            with torch.device("meta"):
                tiny(name, **wrong)
        except ValueError as error:
            advised = re.findall(r"(\w+)=(?=None|False|True|['\d])", str(error))
            assert set(advised) <= set(known), error
            assert "out_indices" not in str(error) and "mean ?" not in str(error)


def test_one_task_of_mti_net_without_exchange_is_the_way_out_that_the_error_names():
    with pytest.raises(ValueError, match="distillation=False and propagation=False"):
        tiny("mti_net", {"depth": 1})
    assert tiny("mti_net", {"depth": 1}, distillation=False, propagation=False).tasks == ("depth",)
    with pytest.raises(ValueError, match="'single_task'"):
        tiny("mti_xtam", {"depth": 1})


def test_unknown_model_names_its_neighbours():
    with pytest.raises(ValueError, match="did you mean densemtl"):
        tiny("densmtl")


def test_an_exchange_at_the_last_level_reaches_the_prediction():
    model = awake(tiny("densemtl", levels=(0,))).train()
    sum(tensor.square().sum() for tensor in flatten(model(torch.rand(2, 3, 32, 32)))).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.exchanges.parameters())


@pytest.mark.parametrize("name", [n for n in EXCHANGING if n != "padnet"])
def test_one_level_needs_no_brackets(name):
    model = tiny(name, levels=2)
    assert list(model.exchanges) == ["2"]
    assert list(create_model_from_spec(json.loads(json.dumps(model.spec))).exchanges) == ["2"]


@pytest.mark.parametrize("levels", ["2,1", [1.0], [True], None])
def test_levels_that_are_no_numbers_are_refused(levels):
    """As a command line hands them over, past the checks of annotations."""
    with pytest.raises(ValueError, match="`levels` is"):
        check_levels(levels, (4, 3, 2, 1, 0))


def test_first_predictions_are_read_before_the_exchange():
    model = awake(tiny("densemtl")).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        for parameter in model.exchanges.parameters():
            parameter.add_(0.5)
        after = model(image)
    for task in TASKS:
        assert torch.equal(before[task][0], after[task][0])
        assert not torch.allclose(before[task][1], after[task][1], atol=1e-4)


def test_without_attention_the_decoders_are_independent():
    exchanging = tiny("densemtl", correlation=None, self_attention=None).eval()
    matched = tiny("multi_task_matched").eval()
    matched.load_state_dict(exchanging.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert close(exchanging(image), matched(image), 0)


def test_separate_networks_share_nothing():
    model = tiny("single_task_matched")
    output = model(torch.rand(2, 3, 64, 64))
    output["depth"][-1].sum().backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None}
    assert touched
    assert all("depth" in name for name in touched)
    alone = tiny("single_task_matched", {"depth": 1}).eval()
    alone.encoder.load_state_dict(model.encoder.tasks["depth"].state_dict())
    alone.decoders.load_state_dict(
        {k: v for k, v in model.decoders.state_dict().items() if k.startswith("depth")}
    )
    image = torch.rand(1, 3, 50, 64)
    with torch.no_grad():
        assert close(alone(image)["depth"], model.eval()(image)["depth"])


def test_final_only_drops_the_first_predictions():
    model = tiny("densemtl").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        full = model(image)
        model.final_only = True
        final = model(image)
    assert all(len(final[t]) == 1 and torch.equal(final[t][0], full[t][-1]) for t in TASKS)


def test_padding_repeats_the_border():
    """An image that already repeats its border gives the same as its cropped form."""
    model = tiny("densemtl").eval()
    image = torch.rand(1, 3, 40, 56)
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, 8, -1)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(-1, -1, -1, 8)], dim=3)
    assert model.encoder.multiple == 16
    with torch.no_grad():
        small, large = model(image), model(padded)
    for task in TASKS:
        assert torch.allclose(small[task][-1], large[task][-1][..., :40, :56], atol=1e-5)
        assert torch.allclose(small[task][0], large[task][0][..., :20, :28], atol=1e-5)


@pytest.mark.parametrize("name", ["densemtl", "n_to_one", "window"])
def test_attention_of_a_pixel_of_the_image(name):
    model = awake(tiny(name)).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        row = model.attention(image, "depth", "normals", (63, 95))
        features = model.streams(image, 1)
        truth = model.exchanges["1"].attention(features, "depth", "normals", (31, 47))
    assert torch.equal(row, truth)
    assert row.shape == ((1, 16, 24) if name == "window" else (1, 8, 12))
    for wrong in ({"level": 2}, {"source": "depth"}):
        with pytest.raises(ValueError):
            model.attention(
                image, **{"target": "depth", "source": "normals", "pixel": (0, 0), **wrong}
            )


def test_attention_without_an_exchange_is_refused():
    image = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match="exchanges at"):
        tiny("multi_task").attention(image, "depth", "normals", (0, 0))
    with pytest.raises(ValueError, match="no attention over positions"):
        tiny("padnet").attention(image, "depth", "normals", (0, 0))


class TestComputeMatched:
    def test_costs_what_densemtl_costs(self):
        options = {"encoder": "resnet10t", "pretrained": False, "width": 0.25}
        with torch.device("meta"):
            control = create_model(
                "multi_task_matched", TASKS, match="densemtl", match_size=(128, 256), **options
            )
            ours = create_model("densemtl", TASKS, **options)
        wide = count_macs(control, (128, 256))["total"]["macs"]
        paper = count_macs(ours, (128, 256))["total"]["macs"]
        assert abs(wide / paper - 1) < 0.02
        assert control.decoders["depth"].widths[4] > 64
        assert create_model_from_spec(control.spec).decoders["depth"].widths == (
            control.decoders["depth"].widths
        )

    def test_width_by_hand(self):
        model = tiny("multi_task_matched", decoder_width=0.25)
        assert model.decoders["depth"].widths == {4: 64, 3: 64, 2: 32, 1: 32, 0: 16}

    def test_wrong_choices_are_refused(self):
        with pytest.raises(ValueError, match="match"):
            tiny("multi_task_matched", match="padnet")
        with pytest.raises(ValueError, match="give one"):
            tiny("multi_task_matched", match="densemtl", decoder_width=1.0)


def test_every_architecture_has_a_default_encoder_that_exists():
    timm = pytest.importorskip("timm")
    assert all(timm.is_model(a.encoder.split(".")[0]) for a in ARCHITECTURES.values())


@pytest.mark.parametrize("name", ["densemtl", "densemtl_linear", "window", "n_to_one", "mti_xtam"])
def test_what_alpha_scales_starts_at_nothing(name):
    """Eq. 4: an untrained network reads no correlation; alpha is learned from zero."""
    found = [
        a for m in tiny(name).modules() if isinstance(m, Exchange) for a in m.alphas().values()
    ]
    assert found and not any(alpha.any() for alpha in found)
