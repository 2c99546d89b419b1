"""SCA-MTL: published sizes and arithmetic, every switch."""

import pytest
import torch
from torch import nn

from crosstask.models.registry import create_model, create_model_from_spec
from models.published_counts import SD, SDNE, count, on_meta, published_macs

SMALL = {"segmentation": 5, "depth": 1, "normals": 3}


def tiny(name: str = "sca_mtl", tasks: dict[str, int] | None = None, **options) -> nn.Module:
    return create_model(
        name, tasks or SMALL, encoder="test_resnet", pretrained=False, width=0.125, **options
    )


# ---- sizes --------------------------------------------------------------------------------------


def test_backbone_and_self_attention_have_the_published_sizes() -> None:
    model = on_meta("sca_mtl", SD)
    assert count(model.encoder) == 3_860_720
    dead = [4 * d for d in (18, 36, 72, 144)]  # the released blocks' second norm, never called
    sizes = [count(module) for module in model.self_attention]
    assert [a + b for a, b in zip(sizes, dead, strict=True)] == [5_322, 14_448, 50_196, 191_676]


@pytest.mark.parametrize(
    ("tasks", "published"),
    [(SD, 25_763_645), ({**SD, "normals": 3}, 39_969_255), (SDNE, 56_372_655)],
)
def test_parameters_are_the_published_ones(tasks, published) -> None:
    model = on_meta("sca_mtl", tasks)
    # never called in the release: in self-attention 4 (18+36+72+144), in the gate of each
    # propagation 2 per task and channel (288 + 144 + 72)
    dead = 1080 + 1008 * len(tasks)
    assert count(model) + dead == published


def test_arithmetic_and_sizes_are_the_published_ones() -> None:
    macs, outputs = published_macs(on_meta("sca_mtl", SD), (480, 640))
    assert macs == pytest.approx(79.1, abs=0.05)
    sizes = [tuple(x.shape[1:]) for x in outputs["segmentation"]]
    assert sizes == [(40, 15, 20), (40, 30, 40), (40, 60, 80), (40, 120, 160), (40, 480, 640)]


def test_the_released_total_less_its_dead_norms() -> None:
    assert count(on_meta("sca_mtl", SD)) == 25_760_549


# ---- the whole, and every switch -------------------------------------------------------------------


def ablation_rows() -> dict[str, tuple[str, dict]]:
    """Which part of SCA-MTL earns what: row to (architecture, options), from MTI-Net upwards.

    a MTI-Net; b MTI-Net as wide as SCA-MTL (the map duplicated in place of self-attention);
    c b with self-attention; d c with CTAM; e d with FPMA on exchanged features; f e with CSAM,
    which is SCA-MTL; g f with the light head; h CSAM before CTAM; i all pairs from stride 16 on.
    """
    wide: dict = {
        "self_attention": "duplicate",
        "task_exchange": "gated",
        "propagation": "convolution",
        "propagate_from": "initial",
        "scale_attention": False,
    }
    attending = {**wide, "self_attention": "window"}
    linear = {**attending, "task_exchange": "linear"}
    return {
        "a": ("mti_net", {}),
        "b": ("sca_mtl", wide),
        "c": ("sca_mtl", attending),
        "d": ("sca_mtl", linear),
        "e": ("sca_mtl", {"scale_attention": False}),
        "f": ("sca_mtl", {}),
        "g": ("sca_mtl", {"head_channels": 256}),
        "h": ("sca_mtl", {"order": "scales_first"}),
        "i": ("sca_mtl", {"pairs": "all"}),
    }


OPTIONS = [
    {},
    {"order": "scales_first"},
    {"pairs": "all"},
    {"pairs": "all", "all_pairs_stride": 4},
    {"grouping": "intended"},
    {"head_channels": 8},
    {"deep_supervision": False},
    {"neck": (12, 12, 24, 24)},
    {"task_exchange": "linear", "auxiliary_tasks": ("normals",)},
    *[options for _, (name, options) in ablation_rows().items() if name == "sca_mtl" and options],
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_switch_runs_and_every_parameter_learns(options) -> None:
    model = create_model(
        "sca_mtl", SMALL, encoder="test_resnet", pretrained=False,
        **({"width": 0.125} | options if "neck" not in options else options),
    )  # fmt: skip
    outputs = model(torch.rand(2, 3, 64, 64))
    levels = 1 if options.get("deep_supervision") is False else 5
    loss = torch.zeros(())
    for task, channels in SMALL.items():
        auxiliary = task in options.get("auxiliary_tasks", ())  # has no final prediction
        assert len(outputs[task]) == levels - auxiliary
        assert outputs[task][-1].shape == (2, channels, 64, 64)
        loss = loss + sum((x**2).mean() for x in outputs[task])
    loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    # the encoder's finer maps than stride 4 are not used, its weights are
    assert idle == []


def test_rows_of_the_ablation_differ_in_what_they_say() -> None:
    sizes = {
        row: count(on_meta(name, SD, **options)) for row, (name, options) in ablation_rows().items()
    }
    assert sizes["a"] == 8_578_179 and sizes["f"] == 25_760_549
    assert sizes["c"] - sizes["b"] == 5_250 + 14_304 + 49_908 + 191_100
    # csam: 138,600 of attention and 91,512 of adapters a task; its head is 1080 wide, not 540
    wider = sum(w * w + 3 * w + w * o + o for w, o in ((1080, 40), (1080, 1)))
    narrow = sum(w * w + 3 * w + w * o + o for w, o in ((540, 40), (540, 1)))
    assert sizes["f"] - sizes["e"] == 2 * (138_600 + 91_512) + wider - narrow
    assert len(set(sizes.values())) == 9


def test_scales_first_lets_a_coarse_scale_into_the_exchange() -> None:
    image = torch.rand(1, 3, 64, 64)
    for order, same in (("tasks_first", True), ("scales_first", False)):
        model = tiny(order=order).eval()
        initial, own, _ = model._features(model.encode(image))
        assert torch.equal(initial["depth"][0], own["depth"][0]) is same
        assert torch.equal(initial["depth"][3], own["depth"][3])


def test_odd_sizes_and_no_mixing_inside_a_batch() -> None:
    model = tiny().eval()
    images = torch.rand(2, 3, 45, 70)
    with torch.no_grad():
        both, alone = model(images), model(images[1:])
    assert [tuple(x.shape[2:]) for x in both["depth"]] == [
        (2, 3), (3, 5), (6, 9), (12, 18), (45, 70),
    ]  # fmt: skip
    for task in SMALL:
        for x, y in zip(both[task], alone[task], strict=True):
            torch.testing.assert_close(x[1:], y, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["sca_mtl", "mti_net", "mti_xtam", "atrc"])
def test_memory_layout_does_not_matter(name: str) -> None:
    model = tiny(name, genotype="local") if name == "atrc" else tiny(name)
    model.eval()
    image = torch.rand(2, 3, 45, 70)
    with torch.no_grad():
        plain = model(image)["normals"][-1]
    model.to(memory_format=torch.channels_last)
    turned = model(image.contiguous(memory_format=torch.channels_last))["normals"][-1]
    torch.testing.assert_close(turned, plain, atol=1e-5, rtol=1e-4)
    turned.square().sum().backward()


def test_two_halves_make_the_whole_and_the_specification_rebuilds_it() -> None:
    model = tiny(head_channels=12, grouping="intended").eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        whole = model(image)
        halves = model.decode(model.encode(image), (64, 96))
    assert torch.equal(whole["depth"][-1], halves["depth"][-1])
    again = create_model_from_spec(model.spec).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(image)["normals"][2], whole["normals"][2])
        again.final_only = True
        assert [len(x) for x in again(image).values()] == [1, 1, 1]
        assert torch.equal(again(image)["normals"][0], whole["normals"][-1])
    assert model.streams(image, 3)["depth"].shape == (1, 12, 8, 12)


def test_outputs_start_at_the_asked_bias() -> None:
    model = tiny()
    layers = model.prediction_layers("depth")
    assert len(layers) == 5 and all(layer.out_channels == 1 for layer in layers)


def test_one_task_is_legal_without_exchange_only() -> None:
    alone = {"depth": 1}
    with pytest.raises(ValueError, match="requires at least two"):
        tiny(tasks=alone)
    model = tiny(tasks=alone, task_exchange=None, propagation=None)
    assert model(torch.rand(2, 3, 64, 64))["depth"][-1].shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "scales"}, "`order` is 'scales'; expected one of"),
        ({"pairs": "all", "order": "scales_first"}, "pairs='all' needs"),
        ({"scale_attention": False, "order": "scales_first"}, "needs scale_attention=True"),
        ({"auxiliary_tasks": ("optical_flow",)}, "`auxiliary_tasks` is"),
        ({"auxiliary_tasks": ("depth",), "deep_supervision": False}, "deep_supervision"),
        ({"exchange_options": {"fusion": "add"}}, "task_exchange='xtam'"),
        ({"neck": False}, "`width` is 0.125 with neck=False"),
        ({"neck": (6, 6)}, "`neck` is"),
        ({"neck": (6, 8, 12, 12)}, "multiple of the 6 heads"),
        ({"output_stride": 16}, "needs maps at strides"),
    ],
)
def test_bad_choices_say_what_to_do(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_an_encoder_without_the_strides_is_refused() -> None:
    from crosstask.models.encoders.encoder import create_encoder
    from crosstask.models.encoders.pyramid_maps import PyramidMaps

    encoder = create_encoder("resnet10t", False, output_stride=16)
    with pytest.raises(ValueError, match="among them"):
        PyramidMaps(encoder)
