"""The teacher: how its average grows, that it only watches, and when it starts again."""

import pytest
import torch
from torch import nn

from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.regimes.adaptation.teacher import Teacher, growing_average
from crosstask.tasks import Depth


def test_the_teacher_follows_fast_at_first() -> None:
    update = growing_average(0.75, grows_for=20_000)
    average, count = torch.tensor([1.0]), torch.tensor([4])
    update([average, count], [torch.tensor([10.0]), torch.tensor([7])], torch.tensor(2))
    assert float(average) == pytest.approx(7.75)  # decay (1 + 2) / (10 + 2): 0.25 x 1 + 0.75 x 10
    assert int(count) == 7
    update([average], [torch.tensor([11.75])], torch.tensor(10_000))
    assert float(average) == pytest.approx(8.75)  # no more than 0.75
    update = growing_average(0.75, grows_for=2)  # at step 2 its labels are used: slow from there on
    average = torch.tensor([1.0])
    update([average], [torch.tensor([9.0])], torch.tensor(2))
    assert float(average) == pytest.approx(3.0)  # 0.75 x 1 + 0.25 x 9


def test_a_teacher_never_trains_and_can_start_again() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1))
    teacher = Teacher(network, (Depth(),), SelfTrainingSettings(start=5))
    teacher.train()
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert set(teacher.state_dict()) == {"n_averaged"} | {
        f"module.{k}" for k in network.state_dict()
    }
    assert not teacher.active(4) and teacher.active(5)
    nn.init.constant_(network[0].weight, 3.0)
    assert not torch.equal(teacher.module[0].weight, network[0].weight)
    teacher.copy_weights(network)
    assert torch.equal(teacher.module[0].weight, network[0].weight)
