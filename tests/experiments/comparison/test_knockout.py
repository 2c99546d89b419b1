"""Who helps whom, on a network where the answer is known."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.knockout import (
    draw,
    exchanges_of,
    knockout,
    without_attention,
)
from crosstask.models import Exchange, create_model
from crosstask.tasks import Depth, Normals, Segmentation

TASKS = (Segmentation(2), Depth(), Normals())


class Known(Exchange):
    """An exchange in which depth lives on segmentation, and nothing else counts."""

    def __init__(self) -> None:
        super().__init__(("segmentation", "depth", "normals"))
        self.recorded: list[bool] = []

    def alphas(self) -> dict[tuple[str, str], Tensor]:
        return {("segmentation", "depth"): torch.tensor([-0.5, 0.25])}

    def score(self) -> dict[str, float]:
        self.recorded.append(self.recording)
        hurt = self.cuts.get(("segmentation", "depth")) == "mean"
        helped = self.cuts.get(("depth", "segmentation")) == "mean"
        return {
            "segmentation/miou": 0.55 if helped else 0.5,
            "depth/rmse": 3.0 if hurt else 2.0,
            "normals/mean": 20.0,
        }


def test_losses_have_the_sign_of_help(tmp_path: Path) -> None:
    network = nn.Sequential(Known(), Known())
    result = knockout(network, TASKS, network[0].score)
    assert result["loss"]["depth"]["segmentation"] == pytest.approx(50.0)
    assert result["loss"]["segmentation"]["depth"] == pytest.approx(-10.0)  # better without it
    assert result["loss"]["normals"] == {"segmentation": 0.0, "depth": 0.0, "normals": None}
    assert result["alpha"]["depth"]["segmentation"] == pytest.approx(0.375)
    assert result["alpha"]["segmentation"]["depth"] is None
    assert result["cut"]["segmentation->depth"]["depth/rmse"] == 3.0
    assert result["whole"]["depth/rmse"] == 2.0
    assert json.loads(json.dumps(result)) == result
    draw(result, tmp_path / "knockout.png")
    assert (tmp_path / "knockout.png").stat().st_size > 5000
    assert network[0].recorded == [True] + 7 * [False], "the means are those of the whole network"
    assert result["without_attention"] == {"segmentation": 0.0, "depth": 0.0, "normals": 0.0}
    zero = knockout(network, TASKS, network[0].score, mode="zero")
    assert zero["loss"]["depth"]["segmentation"] == 0.0


def test_a_real_exchange_changes_the_target_and_is_whole_again_afterwards() -> None:
    tasks = {"segmentation": 2, "depth": 1, "normals": 3}
    network = create_model("densemtl", tasks, "resnet10t", pretrained=False, width=0.125).eval()
    assert len(exchanges_of(network)) == 1
    image = torch.rand(1, 3, 32, 64)
    seen: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def score() -> dict[str, float]:
        seen.append({name: levels[-1] for name, levels in network(image).items()})
        return {"segmentation/miou": 0.5, "depth/rmse": 1.0, "normals/mean": 9.0}

    knockout(network, TASKS, score)
    score()
    whole, *cuts, without, after = seen
    assert len(cuts) == 6
    assert all(torch.equal(without[name], whole[name]) for name in tasks)  # alpha is 0 untrained
    directions = [(s, t.name) for t in TASKS for s in tasks if s != t.name]
    for (_, target), outputs in zip(directions, cuts, strict=True):
        for name in tasks:
            assert torch.equal(outputs[name], whole[name]) == (name != target)
    assert all(torch.equal(whole[name], after[name]) for name in tasks)


def test_alpha_is_zero_inside_and_what_it_was_afterwards() -> None:
    tasks = {"segmentation": 2, "depth": 1}
    network = create_model("densemtl", tasks, "resnet10t", pretrained=False, width=0.125).eval()
    modules, image = exchanges_of(network), torch.rand(1, 3, 32, 64)
    scales = [a for module in modules for a in module.alphas().values()]
    with torch.no_grad():
        untrained = network(image)["depth"][-1]
        for scale in scales:
            scale.fill_(3.0)
        trained = network(image)["depth"][-1]
        with without_attention(modules):
            assert torch.equal(network(image)["depth"][-1], untrained)
        assert torch.equal(network(image)["depth"][-1], trained)
    assert not torch.allclose(trained, untrained)


def test_a_network_without_exchange_is_refused() -> None:
    with pytest.raises(RunError, match="no exchange"):
        knockout(nn.Linear(1, 1), TASKS, dict)
