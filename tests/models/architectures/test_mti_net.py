"""MTI-Net: published sizes, its distillation; and DenseMTL's attention in its scheme."""

import pytest
import torch
from torch import nn

from crosstask.models.exchanges.distillation import Distillation
from crosstask.models.registry import create_model
from models.published_counts import SD, SDNE, count, on_meta, published_macs

SMALL = {"segmentation": 5, "depth": 1, "normals": 3}
TINY = {"encoder": "test_resnet", "pretrained": False, "width": 0.125}


@pytest.mark.parametrize(
    ("tasks", "auxiliary", "parameters"),
    [
        (SD, (), 8_578_179),
        (SDNE, (), 17_960_945),
        (SDNE, ("normals", "edges"), 14_838_121),
    ],
)
def test_parameters_are_the_published_ones(tasks, auxiliary, parameters: int) -> None:
    # published: 8.578, 17.961 and 14.838 million
    assert count(on_meta("mti_net", tasks, auxiliary_tasks=auxiliary)) == parameters


def test_arithmetic_is_the_published_one() -> None:
    macs, outputs = published_macs(on_meta("mti_net", SDNE), (480, 640))
    assert macs == pytest.approx(28.7, abs=0.05)
    assert [x.shape[-1] for x in outputs["depth"]] == [20, 40, 80, 160, 640]


def test_distillation_by_hand() -> None:
    exchange = Distillation(("a", "b"), 1)
    for source, target, feature in (("b", "a", 2.0), ("a", "b", 5.0)):
        gate = exchange.directions[target][source]
        nn.init.zeros_(gate.feature.weight)
        nn.init.zeros_(gate.mask.weight)
        gate.feature.weight.data[0, 0, 1, 1] = feature
    out = exchange({"a": torch.full((1, 1, 2, 2), 3.0), "b": torch.full((1, 1, 2, 2), 7.0)})
    # a mask of zero is a gate of one half
    torch.testing.assert_close(out["a"], torch.full((1, 1, 2, 2), 3.0 + 0.5 * 2 * 7))
    torch.testing.assert_close(out["b"], torch.full((1, 1, 2, 2), 7.0 + 0.5 * 5 * 3))
    with exchange.cut("b", "a", "zero"):
        cut = exchange({"a": torch.full((1, 1, 2, 2), 3.0), "b": torch.full((1, 1, 2, 2), 7.0)})
    torch.testing.assert_close(cut["a"], torch.full((1, 1, 2, 2), 3.0))


def test_auxiliary_tasks_have_side_predictions_only_and_help_the_others() -> None:
    model = create_model("mti_net", SMALL, auxiliary_tasks=("normals",), **TINY)
    outputs = model(torch.rand(2, 3, 64, 96))
    shapes = {task: [tuple(x.shape[1:]) for x in outputs[task]] for task in SMALL}
    assert shapes["normals"] == [(3, 2, 3), (3, 4, 6), (3, 8, 12), (3, 64, 96)]
    assert len(shapes["depth"]) == 5  # the finest side prediction and the final one
    assert len(model.prediction_layers("normals")) == 4
    sum((x**2).sum() for task in SMALL for x in outputs[task]).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    depth = create_model("mti_net", SMALL, auxiliary_tasks=("normals",), **TINY).eval()
    features = depth.streams(torch.rand(1, 3, 64, 64), 3)
    features["normals"].requires_grad_(True)
    mixed = depth.exchanges["3"](features)
    assert mixed["normals"] is features["normals"]
    gradient = torch.autograd.grad(mixed["depth"].sum(), features["normals"])[0]
    assert gradient.abs().sum() > 0


def test_messages_are_made_before_the_distillation() -> None:
    """Cutting every direction at stride 32 must leave the features at stride 16 as they are."""
    image = torch.rand(1, 3, 64, 64)
    for name, same in (("mti_net", True), ("sca_mtl", False)):
        model = create_model(name, {"segmentation": 5, "depth": 1}, **TINY).eval()
        before = model.streams(image, 4)["depth"]
        with model.exchanges["5"].cut("segmentation", "depth", "zero"):
            after = model.streams(image, 4)["depth"]
        assert torch.allclose(before, after) is same


def test_off_switches_leave_independent_tasks() -> None:
    model = create_model("mti_net", {"depth": 1}, distillation=False, propagation=False, **TINY)
    assert model(torch.rand(2, 3, 64, 64))["depth"][-1].shape == (2, 1, 64, 64)
    assert not len(model.exchanges) and not len(model.propagations)
    with pytest.raises(ValueError, match="requires at least two"):
        create_model("mti_net", {"depth": 1}, **TINY)


# ---- the combination with xTAM --------------------------------------------------------------------


def test_size_of_the_combination() -> None:
    """MTI-Net without its gates (18 C^2 a direction), plus an exchange block at each scale.

    A block of two tasks has 2 (22.5 C^2 + 10 C) + 2 (C^2 + 2 C) parameters.
    """
    squares, widths = 18**2 + 36**2 + 72**2 + 144**2, 18 + 36 + 72 + 144
    blocks = 2 * (22.5 * squares + 10 * widths) + 2 * (squares + 2 * widths)
    assert count(on_meta("mti_xtam", SD)) == 8_578_179 - 2 * 18 * squares + blocks


def test_correlations_are_computed_at_stride_8_or_coarser() -> None:
    model = create_model("mti_xtam", SMALL, **TINY)
    scales = {
        level: exchange.direction("depth", "normals").downscale
        for level, exchange in model.exchanges.items()
    }
    assert scales == {"5": 1, "4": 1, "3": 1, "2": 2}
    features = model.eval().streams(torch.rand(1, 3, 64, 96), 2)
    row = model.exchanges["2"].attention(features, "depth", "normals", (3, 5))
    assert row.shape == (1, 8, 12)
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(1))


def test_options_reach_the_exchange_block() -> None:
    model = create_model("mti_xtam", SMALL, fusion="product", alpha=False, **TINY)
    assert model.exchanges["4"].fusion == "product" and not model.exchanges["4"].alphas()
    with pytest.raises(ValueError, match="`fusion` is 'sum'"):
        create_model("mti_xtam", SMALL, fusion="sum", **TINY)
    with pytest.raises(ValueError, match="`grouping` is 'free'"):
        create_model("mti_xtam", SMALL, grouping="free", **TINY)
