"""Both sides of the adversarial loss, against numbers by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from crosstask.regimes.adaptation.alignment import AlignmentSettings, OutputAlignment
from crosstask.tasks import Depth


class Says(nn.Module):
    """A discriminator whose answer is the mean of what it sees."""

    def forward(self, x: Tensor, mirrored: bool = False) -> Tensor:
        return x.mean(dim=(1, 2, 3), keepdim=True)


def alignment() -> OutputAlignment:
    made = OutputAlignment((Depth(),), {"depth": 1}, AlignmentSettings(width=4))
    made.discriminators["depth_0"] = Says()
    return made


def against(logit: float, label: int) -> float:
    return math.log(1 + math.exp(-logit if label else logit))


def maps(value: float) -> dict[str, Tensor]:
    return {"depth_0": torch.full((2, 1, 4, 4), value, requires_grad=True)}


def test_the_network_wants_its_target_maps_called_source() -> None:
    target = maps(2.0)  # called target with confidence
    loss = alignment().adversarial_loss(target)
    assert loss.item() == pytest.approx(against(2.0, 0))  # 2.127; as target it would be 0.127
    loss.backward()
    assert (target["depth_0"].grad > 0).all()  # descending makes the answer smaller: source


def test_the_discriminator_calls_each_domain_by_its_name() -> None:
    made, source, target = alignment(), maps(-1.0), maps(2.0)
    loss = made.discriminator_loss(source, target)
    assert loss.item() == pytest.approx(against(-1.0, 0) + against(2.0, 1))
    assert made.accuracy.tolist() == [1.0]
    assert not loss.requires_grad  # the maps are detached
