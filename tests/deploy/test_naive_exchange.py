"""The reference of every speed claim: the block written plainly from the equations."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from crosstask.deploy import benchmark
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


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_whole_network_stands_beside_the_naive_one(
    mode: str, naive: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "--part network --encoder resnet10t --width 0.0625 --size 32x64 --tasks 2 --batch 2"
    naive.main([*command.split(), "--rounds", "1", "--bf16", "--mode", mode])
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == f"network, {mode}, batch 2, 2 tasks, resnet10t, width 0.0625, 32x64"
    last = "optimize()" if mode == "inference" else "channels-last, recomputed"
    assert [row.split("  ")[0] for row in rows] == [
        "naive, float32", "network, float32", "naive, torch.bfloat16, channels-last",
        "network, torch.bfloat16, channels-last", f"network, torch.bfloat16, {last}",
    ]  # fmt: skip
    differences = [float(row.split()[-1]) for row in rows]
    assert differences[0] == 0 < differences[1] < 1e-4 < min(differences[2:])
    assert max(differences) < 0.1


def test_the_naive_network_has_the_naive_block(naive: ModuleType) -> None:
    made = network()
    (block,) = naive.with_naive_exchanges(made).exchanges.values()
    assert isinstance(block, naive.NaiveExchange)
    assert not isinstance(made.exchanges["1"], naive.NaiveExchange)


def test_a_numbered_gpu_is_a_gpu(naive: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """autocast takes the kind of a device only."""
    kinds = []
    whole = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **s: kinds.append(kind) or whole("cpu", enabled=False)
    )
    run = naive.step(lambda x: x, {}, torch.bfloat16, "inference", torch.device("cuda:1"))
    run()
    assert kinds == ["cuda"]
