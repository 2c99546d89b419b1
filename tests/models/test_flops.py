"""Multiply-accumulates against numbers worked out by hand, and the growth with the tasks."""

import pytest
import torch
from torch import nn

from crosstask.models import create_model
from crosstask.models.exchanges.linear import LinearExchange
from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.flops import count_macs


class Small(nn.Module):
    """A strided convolution, an exchange between two tasks, and a prediction."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 2, stride=2, bias=False)
        self.exchanges = TaskExchange(("a", "b"), 8, downscale=2)
        self.predictions = nn.Linear(8, 5)

    def forward(self, image):
        x = self.encoder(image)
        x = self.exchanges({"a": x, "b": x})["a"]
        return self.predictions(x.flatten(2).transpose(1, 2))


def test_by_hand():
    model = Small().train()
    pixels, cells, c = 8 * 16, 4 * 8, 8
    table = count_macs(model, (16, 32))
    extractor, gate = 9 * c * c * pixels, 9 * c * c * pixels
    projections, attention = 3 * c * c * cells, 2 * cells * cells * c
    written = 2 * (extractor + gate + projections + attention + (12 * c) * pixels + c * c * pixels)
    assert table["encoder"] == {"parameters": 96, "macs": 96 * pixels}
    assert table["exchanges"]["macs"] == written
    assert table["heads"] == {"parameters": 45, "macs": 40 * pixels}
    assert table["total"]["macs"] == 136 * pixels + written
    # as run, the correlation half of the projection (c x c) works on the cells alone
    saved = 2 * c * c * (pixels - cells)
    assert count_macs(model, (16, 32), as_run=True)["exchanges"]["macs"] == written - saved
    assert model.training
    assert model.exchanges.economical
    assert all(p.device.type == "cpu" for p in model.parameters())


def exchange_macs(exchange, tasks, size):
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.exchanges = exchange

        def forward(self, image):
            feature = image[:, :1].expand(-1, 128, -1, -1)
            return self.exchanges(dict.fromkeys(tasks, feature))

    return count_macs(Alone(), size)["exchanges"]["macs"]


@pytest.mark.parametrize("attention", ["linear", "shared", None])
@pytest.mark.parametrize("mixing", ["conv", "separable", "pointwise"])
def test_linear_exchange_grows_linearly(mixing, attention):
    costs = []
    with torch.device("meta"):
        for n in (2, 3, 4, 6, 8):
            tasks = [f"t{i}" for i in range(n)]
            exchange = LinearExchange(tasks, 128, 4, mixing, attention=attention)
            costs.append(exchange_macs(exchange, tasks, (64, 128)) / n)
    assert len(set(costs)) == 1


@pytest.mark.parametrize("size", [(64, 128), (256, 512)])
def test_linear_exchange_costs_less_than_a_third_at_four_tasks(size):
    tasks = ("a", "b", "c", "d")
    with torch.device("meta"):
        paper = exchange_macs(TaskExchange(tasks, 128, 4), tasks, size)
        linear = exchange_macs(LinearExchange(tasks, 128, 4), tasks, size)
        pointwise = exchange_macs(
            LinearExchange(tasks, 128, 4, "pointwise", False, None), tasks, size
        )
    assert pointwise < linear < paper / 3


def test_linear_exchanges_at_four_levels_cost_less_than_a_third_of_one_block():
    tasks = {"segmentation": 14, "depth": 1, "normals": 3, "edges": 1}
    added = {}
    with torch.device("meta"):
        for name in ("densemtl", "densemtl_linear"):
            model = create_model(name, tasks, encoder="resnet18", pretrained=False)
            added[name] = count_macs(model, (128, 256))["exchanges"]["macs"]
    assert len(model.exchanges) == 4
    assert 0 < added["densemtl_linear"] < added["densemtl"] / 3


def test_separate_networks_are_counted_by_part():
    model = create_model(
        "single_task",
        {"a": 2, "b": 1},
        encoder="test_resnet.r160_in1k",
        pretrained=False,
        width=0.125,
    )
    table = count_macs(model, (32, 32))
    assert list(table) == ["encoder", "decoders", "heads", "total"]
    assert table["encoder"]["parameters"] == 2 * 372_688
    assert table["heads"]["parameters"] == 3 * 33
