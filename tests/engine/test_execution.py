"""How the network runs in training."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from crosstask.engine.execution import prepare_network
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware
from crosstask.engine.training import train
from crosstask.predict.model import load

Make = Callable[..., Experiment]


COMPILED = """
import sys
sys.path.insert(0, {tests!r})
import torch
import crosstask.engine.execution as execution
import crosstask.engine.training as training
from crosstask.recipes.supervised import supervised_experiment
from fakes.scenes import Scenes, scene_tasks
torch.set_num_threads(1)
experiment = supervised_experiment(tasks=scene_tasks(("segmentation", "depth")), train_data=lambda: Scenes(8),
    val_data=lambda: Scenes(3, offset=100), encoder="resnet10t", pretrained=False, width=0.0625, size="32x64",
    steps=2, batch_size=2, val_every=2, workers=0, optimizer="matched", balancing="gradnorm")
network, compile = experiment.regime.network, torch.nn.Module.compile
torch.nn.Module.compile = lambda self, **k: compile(self, backend="aot_eager", **k)  # no C++ needed
execution.check_compiler = lambda device: None
training.train(experiment, {run!r}, progress=False, compile=True)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
assert not any("_orig_mod" in key for key in network.state_dict())
"""


def test_a_compiled_network_trains_and_its_run_loads(tmp_path: Path) -> None:
    code = COMPILED.format(tests=str(Path(__file__).parents[1]), run=str(tmp_path / "run"))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    prediction = load(tmp_path / "run").predict(torch.rand(3, 32, 64))
    assert prediction["segmentation"].shape == (32, 64)


def test_every_way_in_which_a_compiled_network_is_called_has_its_graph(
    experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training and evaluation, with and without gradients and autocast, several sizes of a batch."""
    graphs, compile = [], torch.nn.Module.compile

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr("crosstask.engine.execution.check_compiler", lambda device: None)
    monkeypatch.setattr(nn.Module, "compile", lambda self, **k: compile(self, backend=backend, **k))
    regime = experiment().regime
    regime.network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    donated = torch._functorch.config.donated_buffer
    with torch._dynamo.config.patch(recompile_limit=8):
        prepare_network(regime, Hardware("cpu", "32"), compile=True, recompute=False)
        for training, grad, half, count in itertools.product(
            (False, True), (False, True), (False, True), (1, 2)
        ):
            with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=half):
                regime.network.train(training)(torch.rand(count, 3, 4, 4))
    torch._functorch.config.donated_buffer = donated
    assert len(graphs) > 8


def test_compiling_and_recomputing_exclude_each_other(experiment: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave out `--recompute` or `--compile`"):
        train(experiment(), tmp_path / "run", compile=True, recompute=True, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "`devices` is 0; expected a whole number from 1"),
        ({"devices": -1}, "`devices` is -1"),
        ({"num_nodes": 0}, "`num_nodes` is 0"),
        ({"num_nodes": 2}, "`num_nodes` is 2, and neither torchrun nor srun"),
        ({"strategy": "dpp"}, "`strategy` is 'dpp'; expected one of auto, ddp"),
    ],
)
def test_processes_that_cannot_start_leave_no_run(
    experiment: Make, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(experiment(), tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()


def test_no_compiler_is_said(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler"):
        train(experiment(), tmp_path / "run", compile=True, accelerator="cpu", progress=False)
