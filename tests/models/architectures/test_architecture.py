"""What architectures declare of themselves, and architectures and exchanges of a user's own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from crosstask.models import create_model, list_models
from crosstask.models.architectures.architecture import Architecture
from crosstask.models.registry import ARCHITECTURES, find_architecture, model_options
from crosstask.regimes.optimization import OptimizerSettings

TASKS = {"segmentation": 5, "depth": 1}
SMALL: dict[str, Any] = {"encoder": "resnet10t", "pretrained": False, "width": 0.0625}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_an_architecture_declares_fits(name: str) -> None:
    architecture = ARCHITECTURES[name]
    assert architecture.name == name and architecture.summary
    OptimizerSettings(**architecture.optimizer)
    options = architecture.options()
    for paper in architecture.papers:
        assert bool(paper.epochs) != bool(paper.steps) and paper.batch_size > 0
        assert set(paper.options) <= set(options)
        assert "auxiliary_weights" in options or not paper.weighted_auxiliary
    if architecture.nearest_bin is not None:
        assert {"near", "far"} <= set(options)
    alone = create_model(name, {"depth": 1}, **SMALL) if architecture.separate else None
    assert alone is None or not hasattr(alone, "exchanges") or not len(alone.exchanges)  # type: ignore[arg-type]


def test_facts_by_hand() -> None:
    """Each number from its paper or released configuration."""
    sca, atrc, padnet = (ARCHITECTURES[n] for n in ("sca_mtl", "atrc", "padnet"))
    assert OptimizerSettings(**sca.optimizer).betas == (0.9, 0.999)
    assert OptimizerSettings(**padnet.optimizer).name == "sgd"
    assert OptimizerSettings(**padnet.optimizer).encoder_lr == 1e-3
    assert [a for a in ARCHITECTURES if ARCHITECTURES[a].levels == "sum"] == [
        "sca_mtl", "mti_net", "atrc", "mti_xtam",
    ]  # fmt: skip
    assert [a for a in ARCHITECTURES if ARCHITECTURES[a].control] == ["multi_task_matched"]
    pair = sca.paper_on("nyudv2", ["Segmentation", "Depth"])
    assert pair is not None and pair.weights == {"Segmentation": 1.44, "Depth": 1.15}
    other = sca.paper_on("nyudv2", ["Segmentation", "Normals"])
    assert other is not None and (other.weights, other.epochs, other.batch_size) == ({}, 100, 10)
    assert sca.paper_on("cityscapes", ["Segmentation"]) is None
    wide = atrc.paper_on("nyudv2", ["Depth"], "hrnet_w48")
    assert wide is not None and wide.options["genotype"] == "searched_w48"
    own = atrc.paper_on("nyudv2", ["Depth"])
    assert own is not None and own.options["genotype"] == "searched"


def test_an_architecture_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from crosstask.models.architectures.architecture import Architecture\n"
        "from crosstask.models.architectures.matched import multi_task_matched\n"
        "def net(encoder, tasks, width=1.0, wider=1.0, **decoder):\n"
        "    '''Mine.'''\n"
        "    return multi_task_matched(encoder, tasks, width * wider, **decoder)\n"
        "NET = Architecture(net, encoder='resnet10t', levels='sum')\n"
        "def nothing(encoder, tasks, width=1.0):\n"
        "    return None\n"
    )
    wide = create_model("mine.py:net", TASKS, **SMALL, wider=2.0, aspp_pooling=False)
    assert wide.spec["architecture"] == f"{tmp_path}/mine.py:net"  # type: ignore[index]
    assert wide.spec["options"] == {"wider": 2.0, "aspp_pooling": False}  # type: ignore[index]
    plain = create_model(
        "multi_task_matched", TASKS, **{**SMALL, "width": 0.125}, aspp_pooling=False
    )
    assert sum(p.numel() for p in wide.parameters()) == sum(p.numel() for p in plain.parameters())
    assert find_architecture("mine.py:NET").levels == "sum"
    assert (
        create_model("mine.py:NET", TASKS, pretrained=False, width=0.0625).spec["encoder"]
        == "resnet10t"
    )  # type: ignore[index]
    assert "wider" in model_options("mine.py:net") and "mine.py:net" not in list_models()
    with pytest.raises(ValueError, match="did you mean wider"):
        create_model("mine.py:net", TASKS, **SMALL, wide=2.0)
    with pytest.raises(ValueError, match=r"mine\.py:nothing made NoneType"):
        create_model("mine.py:nothing", TASKS, **SMALL)
    with pytest.raises(ValueError, match="expected a function"):
        find_architecture(nn.Identity())  # type: ignore[arg-type]


class Scaled(nn.Module):
    """An exchange that remembers what it was made with."""

    def __init__(self, tasks: tuple[str, ...], channels: int, level: int, gain: float = 1.0):
        super().__init__()
        self.made = (tasks, channels, level, gain)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mean = torch.stack(list(features.values())).mean(0)
        return {task: feature + self.made[3] * mean for task, feature in features.items()}


def test_an_exchange_of_ones_own_stands_at_the_levels() -> None:
    options: dict[str, Any] = {"exchange": Scaled, "exchange_options": {"gain": 0.5}}
    model: Any = create_model("densemtl", TASKS, **SMALL, levels=(2, 1), **options)
    assert list(model.exchanges) == ["2", "1"]
    for level, exchange in model.exchanges.items():
        widths = model.decoders["depth"].widths
        assert exchange.made == (("segmentation", "depth"), widths[int(level)], int(level), 0.5)
    assert model(torch.rand(1, 3, 40, 64))["depth"][-1].shape == (1, 1, 40, 64)
    assert model.spec["options"]["exchange"] == f"{Path(__file__).resolve()}:Scaled"
    still: Any = create_model(
        "densemtl", TASKS, **SMALL, exchange=Scaled, exchange_options={"gain": 0}
    )
    assert not list(still.exchanges.parameters())


def test_wrong_exchanges_are_told() -> None:
    with pytest.raises(ValueError, match="leave out the block's options"):
        create_model("densemtl", TASKS, **SMALL, exchange=Scaled, fusion="concat")
    with pytest.raises(ValueError, match="give `exchange`"):
        create_model("densemtl", TASKS, **SMALL, exchange_options={"gain": 1})
    with pytest.raises(ValueError, match=r"cannot be made .*called as"):
        create_model("densemtl", TASKS, **SMALL, exchange=nn.ReLU)
    with pytest.raises(ValueError, match="expected a class"):
        create_model("densemtl", TASKS, **SMALL, exchange=torch.Tensor)
    with pytest.raises(ValueError, match=r"made dict.*expected torch\.nn\.Module"):
        create_model("densemtl", TASKS, **SMALL, exchange=lambda tasks, channels, level: {})
    with pytest.raises(ValueError, match="unknown exchange 'mean'"):
        create_model("densemtl", TASKS, **SMALL, exchange="mean")


def test_a_declared_architecture_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Architecture(lambda encoder, tasks, width: nn.Identity()).levels = "sum"  # type: ignore[misc]
