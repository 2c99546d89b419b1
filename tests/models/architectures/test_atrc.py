"""ATRC: published sizes and arithmetic, auxiliary outputs and losses."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from crosstask.models.architectures.atrc import resolve_genotype
from crosstask.models.decoders.label_targets import (
    depth_labels,
    label_loss,
)
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
    with pytest.raises(ValueError, match="requires at least two"):
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


@pytest.mark.parametrize("option", ["auxiliary_weights", "label_kinds"])
def test_a_task_that_is_not_there_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"`{option}` has 'dept'; expected tasks of"):
        create_model(
            "atrc", SMALL, **{option: {"dept": 3.0 if "weights" in option else "binary"}}, **TINY
        )
