"""The defaults of an exchange: directions, cuts, and what it has no attention for."""

import pytest
import torch
from torch import nn

from crosstask.models import Exchange, Network
from crosstask.models.flops import count_macs
from models.test_architectures import TASKS, tiny

FEATURES = {task: torch.rand(1, 2, 4, 4) for task in TASKS}


class Mean(Exchange):
    """Every task adds the mean of what it reads."""

    def forward(self, features):
        return {
            task: features[task]
            + sum(self.knock_out(features[s], s, task) for s in self.others(task)) / 2
            for task in self.tasks
        }


class Looking(Mean):
    """Reads every position alike."""

    has_attention = True

    def attention_row(self, features, target, source, pixel):
        weights = torch.zeros_like(features[source][:, 0])
        weights[:, pixel[0], pixel[1]] = 1
        return weights


def with_exchange(exchange):
    plain = tiny("multi_task_matched")
    return Network(plain.encoder, dict(plain.decoders), {1: exchange})


def test_an_exchange_that_implements_forward_alone_can_be_cut_counted_and_has_no_attention():
    exchange = Mean(list(TASKS))
    with exchange.cut("depth", "normals", "zero"):
        cut = exchange(FEATURES)["normals"]
    torch.testing.assert_close(cut, FEATURES["normals"] + FEATURES["segmentation"] / 2)
    assert exchange.alphas() == {}
    with pytest.raises(ValueError, match="Mean has no attention over positions"):
        exchange.attention(FEATURES, "depth", "normals", (0, 0))
    network = with_exchange(exchange)
    assert network.attention_levels() == ()
    assert count_macs(network, (64, 64))["total"]["macs"] > 0


def test_an_exchange_of_ones_own_is_read_through_the_network():
    network = with_exchange(Looking(list(TASKS))).eval()
    assert network.attention_levels() == (1,)
    row = network.attention(torch.rand(1, 3, 64, 64), "depth", "normals", (10, 7))
    assert row[0, 5, 3] == 1 and row.sum() == 1


@pytest.mark.parametrize("direction", [("depth", "depth"), ("depth", "albedo")])
def test_a_direction_that_does_not_exist_is_refused_before_it_is_read(direction):
    with pytest.raises(ValueError, match="does not exist"):
        Looking(list(TASKS)).attention(FEATURES, *direction, (0, 0))


def test_a_module_that_is_no_exchange_still_exchanges():
    class Sum(nn.Module):
        def forward(self, features):
            total = sum(features.values())
            return dict.fromkeys(features, total)

    network = with_exchange(Sum()).eval()
    assert network.attention_levels() == ()
    with pytest.raises(ValueError, match="Sum has no attention over positions"):
        network.attention(torch.rand(1, 3, 64, 64), "depth", "normals", (0, 0))
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64))["depth"][-1].shape == (1, 1, 64, 64)
