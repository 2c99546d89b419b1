"""Parameter groups, presets and schedules."""

import pytest
import torch
from torch import nn

from crosstask.regimes.optimization import (
    OptimizerSettings,
    create_optimizer,
    optimizer_settings,
    parameter_groups,
    schedule_factor,
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


@pytest.mark.parametrize("decay_norms", [True, False])
def test_every_parameter_is_in_exactly_one_group(decay_norms: bool) -> None:
    net = Net()
    net.head.bias.requires_grad_(False)
    groups = parameter_groups(
        [("encoder", [net.encoder], 0.1), ("tasks", [net], 0.2)], 0.5, decay_norms
    )
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters() if p.requires_grad)
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert rates[id(net.encoder[0].weight)] == 0.1
    assert rates[id(net.head.weight)] == 0.2
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert decays[id(net.encoder[1].weight)] == (0.5 if decay_norms else 0.0)


def test_the_papers_presets() -> None:
    dense = optimizer_settings("paper", "densemtl")
    assert (dense.name, dense.lr, dense.encoder_lr, dense.betas) == (
        "adam",
        3e-4,
        2e-4,
        (0.9, 0.98),
    )
    light = optimizer_settings("paper", "multi_task")
    assert (light.name, light.lr, light.encoder_lr, light.weight_decay) == ("sgd", 1e-2, 1e-3, 5e-4)
    assert optimizer_settings("matched", "densemtl") == optimizer_settings("matched", "padnet")
    assert optimizer_settings("paper", "densemtl", lr=3e-3).encoder_lr == pytest.approx(2e-3)
    with pytest.raises(ValueError, match="expected one of paper"):
        optimizer_settings("papr", "densemtl")


def test_schedules_worked_by_hand() -> None:
    step = schedule_factor(OptimizerSettings(), 40_000)
    assert (step(0), step(29_999), step(30_000)) == (1.0, 1.0, pytest.approx(0.1))
    poly = schedule_factor(OptimizerSettings(schedule="poly", warmup=10), 100)
    assert poly(0) == pytest.approx(0.1)
    assert poly(50) == pytest.approx(0.5**0.9)
    assert poly(100) == 0.0


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_fused_steps_are_those_of_the_plain_optimiser(name: str) -> None:
    settings = OptimizerSettings(name=name, lr=0.1, weight_decay=0.1)  # type: ignore[arg-type]
    nets = []
    for fused in (False, True):
        torch.manual_seed(0)
        net = Net()
        groups = parameter_groups([("tasks", [net], 0.1)], 0.1, False)
        optimizer = create_optimizer(settings, groups, fused)
        assert bool(optimizer.defaults["fused"]) == fused
        for _ in range(3):
            optimizer.zero_grad()
            net.head(net.encoder(torch.ones(2, 3, 2, 2))).square().sum().backward()
            optimizer.step()
        nets.append(net)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
