"""The reference of every speed claim: the block written plainly from the equations."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from crosstask import benchmark
from crosstask.models import create_model


@pytest.fixture(scope="module")
def naive() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "naive_exchange.py"
    spec = importlib.util.spec_from_file_location("naive_exchange", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network() -> nn.Module:
    made = create_model(
        "densemtl", benchmark.task_names(4), encoder="resnet10t", pretrained=False, width=0.0625
    )
    for parameter in (p for n, p in made.named_parameters() if n.endswith("alpha")):
        nn.init.normal_(parameter)
    return made.eval()


def test_the_naive_block_is_the_block(naive: ModuleType) -> None:
    exchange = network().exchanges["1"].double()
    features = {t: torch.rand(1, exchange.channels, 16, 24).double() for t in exchange.tasks}
    with torch.no_grad():
        expected, found = exchange(features), naive.NaiveExchange(exchange)(features)
    for task in expected:
        assert torch.allclose(expected[task], found[task], atol=1e-9)
