"""ATRC: published sizes, each context against its equation, labels and their losses."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from crosstask.models.architectures.atrc import resolve_genotype
from crosstask.models.decoders.auxiliary_labels import AuxiliaryLabels
from crosstask.models.decoders.label_targets import (
    binary_labels,
    depth_labels,
    facing_directions,
    label_loss,
    normals_labels,
)
from crosstask.models.exchanges.label_context import (
    LabelContext,
    LocalContext,
    label_tokens,
    neighbourhood_attention,
)
from crosstask.models.exchanges.relational import RelationalExchange
from crosstask.models.registry import create_model
from models.published_counts import SDNE, count, on_meta, published_macs

SMALL = {"segmentation": 5, "depth": 1, "normals": 3}
TINY = {"encoder": "test_resnet", "pretrained": False, "width": 0.125}
PASCAL = {"segmentation": 21, "human_parts": 7, "saliency": 2, "normals": 3, "edges": 1}


@pytest.mark.parametrize(
    ("tasks", "genotype", "parameters"),
    [
        (SDNE, "none", 4_515_556),
        (SDNE, "global", 4_734_172),
        (SDNE, "searched", 5_060_994),
    ],
)
def test_parameters_are_the_published_ones(tasks, genotype: str, parameters: int) -> None:
    # published: 4.516, 4.734 and 5.061 million
    assert count(on_meta("atrc", tasks, genotype=genotype)) == parameters


def test_the_pascal_genotype_has_the_published_size() -> None:
    assert count(on_meta("atrc", PASCAL, genotype="none")) / 1e6 == pytest.approx(4.678, abs=5e-4)
    model = on_meta("atrc", PASCAL, genotype="searched_pascal")
    assert count(model) / 1e6 == pytest.approx(5.383, abs=5e-4)


@pytest.mark.parametrize(("genotype", "macs"), [("none", 17.65), ("searched", 25.4)])
def test_arithmetic_is_the_published_one(genotype: str, macs: float) -> None:
    # published for 425x560, whose finest map has 107 x 140 = 14,980 positions; this has 14,976
    model = on_meta("atrc", SDNE, genotype=genotype)
    assert published_macs(model, (416, 576))[0] == pytest.approx(macs, rel=0.01)


# ---- contexts ---------------------------------------------------------------------------------------


def test_label_tokens_are_weighted_means() -> None:
    features = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.0, 100.0, 0.0]], [[0.0, math.log(3), -99.0]]]])
    # equal weights; all on the second; 1/4 and 3/4
    torch.testing.assert_close(label_tokens(features, logits), torch.tensor([[[2.0, 2.0, 1.75]]]))


def test_neighbourhood_attention_is_softmax_over_the_window() -> None:
    query, key = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
    value = torch.randn(2, 3, 5, 6)
    scores = torch.einsum("bdp,bdr->bpr", query.flatten(2), key.flatten(2)) / 2
    row, column = torch.arange(30) // 6, torch.arange(30) % 6
    far = ((row[:, None] - row).abs() > 1) | ((column[:, None] - column).abs() > 1)
    weights = scores.masked_fill(far, -math.inf).softmax(2)
    expected = torch.einsum("bpr,bcr->bcp", weights, value.flatten(2)).view(2, 3, 5, 6)
    torch.testing.assert_close(neighbourhood_attention(query, key, value, 3), expected)
    # hand: equal keys average the 4 positions that a corner has
    ones, ramp = torch.ones(1, 1, 3, 3), torch.arange(9.0).view(1, 1, 3, 3)
    assert neighbourhood_attention(ones, ones, ramp, 3)[0, 0, 0, 0] == (0 + 1 + 3 + 4) / 4


def test_a_row_of_the_local_context_predicts_its_output() -> None:
    context = LocalContext(6, 4, 3).eval()
    target, source = torch.randn(1, 6, 5, 7), torch.randn(1, 6, 5, 7)
    row = context.row(target, source, (4, 2))
    assert (row > 0).sum() == 6
    read = torch.einsum("bhw,bchw->bc", row, context.value(source))
    torch.testing.assert_close(context(target, source)[..., 4, 2], read, atol=1e-5, rtol=1e-4)


def test_label_context_reads_tokens_of_the_source() -> None:
    context = LabelContext(6, 4).eval()
    target, source, logits = (
        torch.randn(2, 6, 3, 4),
        torch.randn(2, 6, 3, 4),
        torch.randn(2, 5, 3, 4),
    )
    tokens = label_tokens(source, logits)[..., None]
    query = context.query(target).flatten(2)
    scores = torch.einsum("bdp,bdn->bpn", query, context.key(tokens)[..., 0]) / 2
    expected = torch.einsum("bpn,bcn->bcp", scores.softmax(2), context.value(tokens)[..., 0])
    torch.testing.assert_close(context(target, source, logits), expected.view(2, 4, 3, 4))


def test_which_labels_make_the_tokens() -> None:
    genotype = {
        "a": {"a": "none", "b": "target_label"},
        "b": {"a": "target_label", "b": "source_label"},
    }
    exchange = RelationalExchange(genotype, 6, 4).eval()
    nn.init.ones_(exchange.gather["a"][1].weight)
    assert exchange.labelled_tasks() == ["a", "b"] and exchange.sources("a") == ["b"]
    features = {task: torch.randn(1, 6, 3, 3) for task in "ab"}
    labels = {task: torch.randn(1, 4, 3, 3, requires_grad=True) for task in "ab"}
    out = exchange(features, labels)["a"].sum()
    seen = torch.autograd.grad(out, list(labels.values()), allow_unused=True)
    assert seen[0].abs().sum() > 0 and seen[1] is None
    source = {**genotype, "a": {"a": "none", "b": "source_label"}}
    assert RelationalExchange(source, 6, 4).labelled_tasks() == ["b"]


def test_training_starts_without_exchange() -> None:
    exchange = RelationalExchange(
        {task: dict.fromkeys("ab", "global") for task in "ab"}, 6, 4
    ).eval()
    first = {task: torch.randn(1, 6, 3, 3) for task in "ab"}
    other = {**first, "b": torch.randn(1, 6, 3, 3)}
    assert torch.equal(exchange(first)["a"], exchange(other)["a"])
    nn.init.ones_(exchange.gather["a"][1].weight)
    assert not torch.equal(exchange(first)["a"], exchange(other)["a"])
    with exchange.cut("b", "a", "zero"):
        assert torch.equal(exchange(first)["a"], exchange(other)["a"])
    row = exchange.attention(first, "a", "b", (1, 1))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(1))


def test_published_rows_are_read_by_name() -> None:
    rows = resolve_genotype("searched", ("depth", "edges"))
    assert rows == {
        "depth": {"depth": "target_label", "edges": "source_label"},
        "edges": {"depth": "target_label", "edges": "target_label"},
    }
    # the one global context: edges read normals
    rows = resolve_genotype("searched", ("normals", "edges", "parts"))
    assert rows["edges"] == {"normals": "global", "edges": "target_label", "parts": "global"}
    assert resolve_genotype("searched_w48", ("segmentation", "depth"))["segmentation"] == {
        "segmentation": "target_label",
        "depth": "none",
    }


# ---- labels -----------------------------------------------------------------------------------------


def test_depth_bins_are_logarithmic() -> None:
    edges = [0.7 * (10 / 0.7) ** (i / 40) for i in (0, 1, 20, 39)]
    depth = torch.tensor([0.0, 0.5, *[e * 1.001 for e in edges], 10.0, 50.0]).view(1, 1, 1, 8)
    assert depth_labels(depth).flatten().tolist() == [255, 0, 0, 1, 20, 39, 39, 39]
    assert depth_labels(torch.full((1, 1, 1, 1), math.inf)).item() == 255
    # the middle of 1 m to 100 m on a logarithmic scale is 10 m
    assert depth_labels(torch.full((1, 1, 1, 1), 10.1), 2, 1.0, 100.0).item() == 1
    assert depth_labels(torch.full((1, 1, 1, 1), 9.9), 2, 1.0, 100.0).item() == 0


def test_directions_are_even_over_the_hemisphere_that_faces_the_camera() -> None:
    directions = facing_directions(40)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(40))
    assert (directions[:, 2] < 0).all()
    # the mean of z over a hemisphere is 1/2, of x and y 0
    assert directions.mean(0).tolist() == pytest.approx([0, 0, -0.5], abs=0.02)
    nearest = (directions @ directions.T - 2 * torch.eye(40)).amax(1).acos().rad2deg()
    # 40 equal areas of 2 pi / 40: as circles 25.7 degrees across
    assert nearest.min() > 15 and nearest.max() < 27


def test_normals_labels_take_the_nearest_direction() -> None:
    directions = facing_directions(40)
    normals = directions.T.reshape(1, 3, 5, 8)
    assert normals_labels(normals, directions).flatten().tolist() == list(range(40))
    assert (normals_labels(torch.zeros(1, 3, 2, 2), directions) == 255).all()


def test_binary_labels_keep_the_void() -> None:
    target = torch.tensor([[[[0.0, 1.0, 255.0]]]])
    assert binary_labels(target).flatten().tolist() == [0, 1, 255]


def test_label_loss_by_hand() -> None:
    logits = torch.zeros(1, 4, 1, 2, requires_grad=True)
    labels = torch.tensor([[[2, 255]]])
    loss = label_loss(logits, labels)
    assert loss.item() == pytest.approx(math.log(4))
    empty = label_loss(logits, torch.full((1, 1, 2), 255))
    empty.backward()
    assert empty.item() == 0 and logits.grad is not None and not logits.grad.any()
    weighted = label_loss(
        torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]), torch.tensor([0.2, 0.8])
    )
    assert weighted.item() == pytest.approx(math.log(2) * (0.2 + 0.8) / 2)


def test_label_heads_do_not_touch_the_trunk() -> None:
    heads = AuxiliaryLabels({"depth": 1, "segmentation": 5, "edges": 1}, 6, bins=8)
    shared = torch.randn(2, 6, 4, 4, requires_grad=True)
    logits = heads(shared)
    assert {task: x.shape[1] for task, x in logits.items()} == {
        "depth": 8, "segmentation": 5, "edges": 2,
    }  # fmt: skip
    loss = heads.loss("depth", logits["depth"], torch.rand(2, 1, 16, 16) + 1)
    loss = loss + logits["segmentation"].sum() + logits["edges"].sum()
    loss.backward()
    assert shared.grad is None
    assert all(p.grad is not None for p in heads.parameters())


# ---- the network -------------------------------------------------------------------------------------


def targets(size: tuple[int, int]) -> dict[str, torch.Tensor]:
    return {
        "segmentation": torch.randint(0, 5, (2, *size)),
        "depth": torch.rand(2, 1, *size) * 9 + 0.5,
        "normals": functional.normalize(torch.randn(2, 3, *size), dim=1),
    }


def test_auxiliary_outputs_and_losses() -> None:
    model = create_model("atrc", SMALL, auxiliary_weights={"depth": 3.0}, **TINY)
    outputs = model(torch.rand(2, 3, 45, 70))
    assert [x.shape for x in outputs["depth"]] == [(2, 1, 45, 70)]
    assert {t: tuple(x.shape[1:]) for t, x in outputs["auxiliary"].items()} == {
        "segmentation": (5, 12, 18),
        "depth": (40, 12, 18),
        "normals": (40, 12, 18),
    }
    given = targets((45, 70))
    losses = model.auxiliary_losses(outputs["auxiliary"], given)
    assert list(losses) == ["auxiliary/segmentation", "auxiliary/depth", "auxiliary/normals"]
    plain = label_loss(outputs["auxiliary"]["depth"], depth_labels(given["depth"]))
    torch.testing.assert_close(losses["auxiliary/depth"], 3 * plain)
    given["depth"] = torch.zeros(2, 1, 45, 70)
    assert model.auxiliary_losses(outputs["auxiliary"], given)["auxiliary/depth"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    model.final_only = True
    assert "auxiliary" not in model(torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize("channels", [1, 2])
def test_saliency_can_be_a_context_of_two_labels(channels: int) -> None:
    tasks = {"segmentation": 5, "saliency": channels}
    model = create_model("atrc", tasks, genotype="searched_pascal", **TINY)
    assert model.auxiliary.predictions["saliency"].out_channels == 2
    target = torch.zeros(1, 1, 4, 8)
    target[..., :2] = 1  # a quarter is salient
    logits = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 8)
    loss = model.auxiliary_losses({"saliency": logits}, {"saliency": target})
    background, salient = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    expected = 0.25 * 0.75 * salient + 0.75 * 0.25 * background
    assert loss["auxiliary/saliency"].item() == pytest.approx(expected)
    void = {"saliency": torch.full_like(target, 255)}
    assert model.auxiliary_losses({"saliency": logits}, void)["auxiliary/saliency"] == 0


@pytest.mark.parametrize("genotype", ["none", "global", "local", "target_label", "source_label"])
def test_every_context_learns(genotype: str) -> None:
    model = create_model("atrc", SMALL, genotype=genotype, **TINY)
    for gather in getattr(model.exchanges["2"], "gather", {}).values() if model.exchanges else ():
        nn.init.ones_(gather[1].weight)
    outputs = model(torch.rand(2, 3, 64, 64))
    assert ("auxiliary" in outputs) is genotype.endswith("label")
    sum((outputs[task][-1] ** 2).sum() for task in SMALL).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="nobody to exchange with"):
        create_model("atrc", {"depth": 1}, **TINY)
    assert create_model("atrc", {"depth": 1}, genotype="none", **TINY).auxiliary is None
    with pytest.raises(ValueError, match="`genotype` is 'best'"):
        create_model("atrc", SMALL, genotype="best", **TINY)
    with pytest.raises(ValueError, match="the context of target 'segmentation'"):
        create_model("atrc", SMALL, genotype={"depth": {"normals": "global"}}, **TINY)
    with pytest.raises(ValueError, match="`label_kinds`"):
        create_model("atrc", {"segmentation": 5, "height": 1}, genotype="source_label", **TINY)
    with pytest.raises(ValueError, match="odd number"):
        create_model("atrc", SMALL, neighbourhood=4, **TINY)
    with pytest.raises(ValueError, match="0 < near < far"):
        create_model("atrc", SMALL, near=5.0, far=2.0, **TINY)
    kinds = {"height": "depth"}
    tasks = {"segmentation": 5, "height": 1}
    model = create_model("atrc", tasks, genotype="source_label", label_kinds=kinds, **TINY)
    assert model.auxiliary.predictions["height"].out_channels == 40
