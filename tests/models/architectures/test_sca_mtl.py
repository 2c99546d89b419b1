"""SCA-MTL: published sizes and arithmetic, each attention against its equation, every switch."""

import pytest
import torch
from torch import Tensor, nn

from crosstask.models.architectures.sca_mtl import ablation_rows
from crosstask.models.encoders.pyramid_maps import fit_output
from crosstask.models.exchanges.propagation import FeaturePropagation, group_softmax
from crosstask.models.exchanges.sca_scale import ScaleAttention
from crosstask.models.exchanges.sca_task import AllPairsAttention, TaskAttention
from crosstask.models.exchanges.task_scales import TaskScales
from crosstask.models.layers.linear_attention import LinearCrossAttention, linear_attention
from crosstask.models.layers.window_self_attention import WindowAttentionBlock, WindowSelfAttention
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


@pytest.mark.parametrize(
    ("channels", "expected"), [(36, 6_840), (72, 26_640), (144, 105_120), (288, 417_600)]
)
def test_size_of_one_linear_attention(channels: int, expected: int) -> None:
    assert count(LinearCrossAttention(channels)) == expected == 5 * channels**2 + 10 * channels


def test_size_of_the_head_with_cross_scale_attention() -> None:
    channels = (36, 72, 144, 288)
    attention = ScaleAttention(channels)
    assert attention.out_channels == (216, 288, 288, 288)
    head = TaskScales(channels, channels, 40, attention)
    assert count(attention) + count(head.mix) + count(head.predictions) == 1_442_992


# ---- attention against its equations --------------------------------------------------------------


def test_linear_attention_by_hand() -> None:
    query = torch.tensor([[[1.0], [2.0]]])
    key = torch.tensor([[[3.0, 0.0], [1.0, 2.0]]])
    value = torch.tensor([[[10.0, 20.0]]])
    # scores 1*3+2*1 = 5 and 1*0+2*2 = 4: (50 + 80) / 9
    torch.testing.assert_close(linear_attention(query, key, value), torch.tensor([[[130 / 9]]]))


def test_linear_attention_is_the_row_normalised_matrix_also_for_unequal_sizes() -> None:
    query, key, value = torch.rand(2, 6, 35), torch.rand(2, 6, 12), torch.randn(2, 4, 12)
    scores = torch.einsum("bdp,bdr->bpr", query, key)
    expected = torch.einsum("bpr,bcr->bcp", scores / scores.sum(2, keepdim=True), value)
    torch.testing.assert_close(linear_attention(query, key, value), expected)


def test_linear_attention_stays_in_float32_under_autocast() -> None:
    query, key, value = torch.rand(1, 4, 9), torch.rand(1, 4, 300), torch.rand(1, 4, 300)
    expected = linear_attention(query, key, value)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = linear_attention(query, key, value)
    assert inside.dtype == torch.float32 and torch.equal(inside, expected)


def test_a_row_of_linear_attention_predicts_the_output() -> None:
    module = LinearCrossAttention(6).eval()
    target, source = torch.randn(2, 6, 5, 4), torch.randn(2, 6, 3, 7)
    row = module.row(target, source, (3, 1))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(2))
    read = torch.einsum("bhw,bchw->bc", row, module.value(source))
    torch.testing.assert_close(module(target, source)[..., 3, 1], read)


def test_window_attention_equals_plain_attention_on_one_window() -> None:
    block = WindowAttentionBlock(12, 3, window=4).eval()
    nn.init.normal_(block.position_bias)
    x = torch.randn(2, 4, 4, 12)
    query, key, value = block.qkv(block.norm(x)).view(2, 16, 3, 3, 4).permute(2, 0, 3, 1, 4)
    bias = torch.zeros(3, 16, 16)
    for p in range(16):
        for r in range(16):
            offset = (p // 4 - r // 4 + 3) * 7 + (p % 4 - r % 4 + 3)
            bias[:, p, r] = block.position_bias[offset]
    weights = (query @ key.transpose(2, 3) / 2 + bias).softmax(3)
    out = (weights @ value).transpose(1, 2).reshape(2, 4, 4, 12)
    torch.testing.assert_close(block(x), x + block.projection(out), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("shift", "reach"), [(0, range(7, 14)), (3, range(10, 14))])
def test_windows_keep_to_themselves_and_shifted_ones_do_not_wrap_around(shift, reach) -> None:
    block = WindowAttentionBlock(4, 2, window=7, shift=shift).eval()
    x = torch.randn(1, 14, 14, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[0, 13, 13].sum(), x)
    seen = gradient[0].abs().sum(2) > 1e-12
    expected = torch.zeros(14, 14, dtype=torch.bool)
    expected[reach.start :, reach.start :] = True
    assert torch.equal(seen, expected)


def test_self_attention_takes_any_size_and_drops_only_its_last_block() -> None:
    module = WindowSelfAttention(12)
    assert module(torch.randn(2, 12, 5, 9)).shape == (2, 12, 5, 9)
    assert [block.drop_path.drop_prob for block in module.blocks] == [0.0, 0.2]
    assert [block.shift for block in module.blocks] == [0, 3]
    with pytest.raises(ValueError, match="multiple of the 6 heads"):
        WindowSelfAttention(16)


# ---- across tasks ---------------------------------------------------------------------------------


def features(tasks=("a", "b", "c"), channels: int = 6, size=(4, 5)) -> dict[str, Tensor]:
    return {task: torch.randn(2, channels, *size) for task in tasks}


def test_task_attention_is_its_equation() -> None:
    exchange = TaskAttention(("a", "b", "c"), 6).eval()
    given = features()
    own = given["b"]
    parts = [own, exchange.directions["b"]["a"](own, given["a"])]
    parts += [own, exchange.directions["b"]["c"](own, given["c"])]
    torch.testing.assert_close(exchange(given)["b"], own + exchange.reduce(torch.cat(parts, 1)))


def test_a_cut_direction_says_nothing() -> None:
    exchange = TaskAttention(("a", "b", "c"), 6).eval()
    given = features()
    given["a"].requires_grad_(True)
    with exchange.cut("a", "b", "zero"):
        out = exchange(given)
        assert torch.autograd.grad(out["b"].sum(), given["a"], allow_unused=True)[0] is None
    assert torch.autograd.grad(exchange(given)["b"].sum(), given["a"])[0].abs().sum() > 0
    row = exchange.attention(given, "b", "a", (1, 2))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(2))
    with pytest.raises(ValueError, match="does not exist"):
        exchange.attention(given, "b", "b", (0, 0))


def test_all_pairs_reads_every_other_map_of_every_scale() -> None:
    exchange = AllPairsAttention(("a", "b"), (6, 8)).eval()
    assert len(exchange.pairs) == 4 * 3  # M K (M K - 1)
    given = {
        task: [
            torch.randn(1, 6, 4, 4, requires_grad=True),
            torch.randn(1, 8, 2, 2, requires_grad=True),
        ]
        for task in ("a", "b")
    }
    out = exchange(given)
    for target, k in (("a", 0), ("b", 1)):
        assert out[target][k].shape == given[target][k].shape
        maps = [x for task in given.values() for x in task]
        gradients = torch.autograd.grad(out[target][k].sum(), maps, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in gradients)


def test_softmax_groups_as_released_and_as_intended() -> None:
    # 4 tasks of 5 channels, task-major; a logit of 20 at one channel silences its group
    owners = torch.arange(20) // 5
    logits = torch.zeros(1, 20, 1, 1)
    weights = group_softmax(logits, 4, "released")
    torch.testing.assert_close(weights, torch.full_like(logits, 0.25))
    groups = []
    for first in range(0, 20, 4):
        logits = torch.zeros(1, 20, 1, 1)
        logits[0, first] = 20.0
        quiet = group_softmax(logits, 4, "released")[0, :, 0, 0] < 0.2
        quiet[first] = True
        groups.append("".join(str(int(t)) for t in owners[quiet]))
    assert groups == ["0000", "0111", "1122", "2223", "3333"]
    logits = torch.randn(2, 20, 3, 3)
    intended = group_softmax(logits, 4, "intended").view(2, 4, 5, 3, 3)
    torch.testing.assert_close(intended.sum(1), torch.ones(2, 5, 3, 3))


@pytest.mark.parametrize("gate", ["convolution", "attention"])
def test_propagation_adds_a_gated_shared_message(gate: str) -> None:
    module = FeaturePropagation(("a", "b"), 6, gate, "intended").eval()  # type: ignore[arg-type]
    given = features(("a", "b"))
    stack = torch.cat(list(given.values()), 1)
    weights = module.gate(stack).view(2, 2, 6, 4, 5).softmax(1).view(2, 12, 4, 5)
    shared = module.merge(weights * stack)
    out = module(given)
    torch.testing.assert_close(out["b"], given["b"] + module.excite["b"](shared))
    # a squeeze-excitation whose last layer is zero halves what it gates
    nn.init.zeros_(module.excite["a"].excite.weight)
    nn.init.zeros_(module.excite["a"].excite.bias)
    torch.testing.assert_close(module(given)["a"], given["a"] + 0.5 * shared)


# ---- across scales --------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["convolution", "attention"])
@pytest.mark.parametrize("grouping", ["released", "intended"])
def test_a_message_without_a_cut_source(gate: str, grouping: str) -> None:
    module = FeaturePropagation(("a", "b", "c"), 8, gate, grouping).eval()
    features = {task: torch.rand(2, 8, 5, 6) for task in "abc"}
    other = {**features, "a": torch.rand(2, 8, 5, 6)}
    whole = module(features)
    with module.cut("a", "b", "zero"):
        first, second = module(features), module(other)
    empty = module({**features, "a": torch.zeros(2, 8, 5, 6)})
    assert torch.equal(first["b"], second["b"]) and torch.equal(first["b"], empty["b"])
    assert not torch.allclose(first["b"], whole["b"])
    assert torch.equal(first["a"], whole["a"]) and torch.equal(first["c"], whole["c"])
    flat = {task: torch.rand(1, 8, 1, 1).repeat(2, 1, 5, 6) for task in "abc"}
    expected = module(flat)["b"]
    with module.cut("a", "b", "mean"), module.cut("c", "b", "mean"):
        torch.testing.assert_close(module(flat)["b"], expected)


def test_scales_read_coarser_ones_only() -> None:
    module = ScaleAttention((6, 8, 10)).eval()
    maps = [torch.randn(1, c, s, s, requires_grad=True) for c, s in ((6, 8), (8, 4), (10, 2))]
    out = module(maps)
    assert out[2] is maps[2]
    assert [x.shape[1] for x in out] == [24, 16, 10]
    torch.testing.assert_close(out[0][:, :6], maps[0])
    torch.testing.assert_close(out[0][:, 12:18], maps[0])
    read = module.attention["0"](maps[0], module.adapt["2_to_0"](maps[2]))
    torch.testing.assert_close(out[0][:, 18:], read)
    gradients = torch.autograd.grad(out[1].sum(), maps, allow_unused=True)
    assert gradients[0] is None and gradients[2].abs().sum() > 0


def test_an_output_of_a_padded_image_lies_where_it_belongs() -> None:
    # a ramp over 96 pixels, seen in cells of 32; the image is the first 80 pixels
    cells = (torch.arange(3.0) * 32 + 15.5).expand(1, 1, 3, 3)
    fitted = fit_output(cells, 32, (96, 80))
    assert fitted.shape == (1, 1, 3, 3)
    full = nn.functional.interpolate(fitted, size=(96, 80), mode="bilinear")
    torch.testing.assert_close(full[0, 0, 48, 40:66], torch.arange(40.0, 66.0))
    assert torch.equal(fit_output(cells, 32, (64, 32)), cells[..., :2, :1])


# ---- the whole, and every switch -------------------------------------------------------------------

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
        assert len(outputs[task]) == levels
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
    with pytest.raises(ValueError, match="nobody to exchange with"):
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
