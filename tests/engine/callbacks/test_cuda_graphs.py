"""Training from CUDA graphs; without a GPU the recording itself is replaced by a call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from crosstask.engine.callbacks import cuda_graphs
from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.models.networks.scene_network import SceneNetwork

Make = Callable[..., Experiment]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Sizes of the images that were replayed. As on a GPU, recording runs the network three times."""
    seen: list[tuple[int, ...]] = []

    def record(network: nn.Module, sample: tuple[torch.Tensor], **options: Any) -> nn.Module:
        plain = network.forward
        for _ in range(3):
            network(*sample)

        def replay(image: torch.Tensor) -> Any:
            assert image.shape == sample[0].shape and network.training and torch.is_grad_enabled()
            seen.append(tuple(image.shape))
            return plain(image)

        network.forward = replay
        return network

    monkeypatch.setattr(cuda_graphs, "record", record)
    monkeypatch.setattr(cuda_graphs, "check_gpu", lambda device: None)
    return seen


def test_a_replayed_run_is_the_plain_one(
    experiment: Make, replays: list[tuple[int, ...]], tmp_path: Path
) -> None:
    """The recording leaves no trace in batch norms; validation and the file of the run are the network's."""
    found = []
    for replayed in (False, True):
        torch.manual_seed(0)
        made, run = experiment(), tmp_path / str(replayed)
        metrics = train(made, run, progress=False, cuda_graphs=replayed)
        found.append((metrics, torch.load(run / "checkpoints/last.ckpt", weights_only=True)))
        assert "forward" not in vars(made.regime.network)
    assert replays == [(2, 3, 32, 64)] * 6
    assert found[0][0] == found[1][0]
    weights = [checkpoint["state_dict"] for _, checkpoint in found]
    assert list(weights[0]) == list(weights[1])
    assert all(torch.equal(a, weights[1][name]) for name, a in weights[0].items())


def test_what_was_not_recorded_runs_plainly(
    experiment: Make, replays: list[tuple[int, ...]]
) -> None:
    network = experiment().regime.network.train()
    assert isinstance(network, SceneNetwork)
    image = torch.rand(2, 3, 32, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cuda_graphs.replay_training(network, image, torch.enable_grad)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    replays.clear()
    network(torch.rand(1, 3, 32, 64))  # another batch
    network(torch.rand(2, 3, 64, 64))  # another size
    with torch.no_grad():
        network(image)
    network.eval()(image)
    assert not replays
    network.train()(image)
    assert replays == [(2, 3, 32, 64)]


def test_an_error_gives_the_network_back(
    experiment: Make,
    replays: list[tuple[int, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = experiment()

    def fail(*_: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(type(made.regime), "backward", fail)
    with pytest.raises(RuntimeError, match="no room"):
        train(made, tmp_path / "run", progress=False, cuda_graphs=True)
    assert replays and "forward" not in vars(made.regime.network)


@pytest.mark.parametrize(
    ("options", "how", "told"),
    [
        ({}, {"compile": True}, "--compile"),
        ({}, {"recompute": True}, "--recompute"),
        ({}, {"processes": 2}, "--devices"),
        ({"accumulate": 2}, {}, "--accumulate"),
        ({"freeze": "encoder", "unfreeze_at": 3}, {}, "--unfreeze-at"),
        ({"balancing": "gradnorm"}, {}, "--balancing equal"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    experiment: Make,
    replays: list[tuple[int, ...]],
    options: dict[str, Any],
    how: dict[str, Any],
    told: str,
) -> None:
    usual = {"compile": False, "recompute": False, "processes": 1, **how}
    with pytest.raises(ValueError, match=told):
        cuda_graphs.check_cuda_graphs(experiment(**options), "cuda", **usual)
    cuda_graphs.check_cuda_graphs(experiment(), "cuda", compile=False, recompute=False, processes=1)


def test_other_regimes_are_refused(
    experiment: Make, replays: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment()
    monkeypatch.setattr(type(made.regime), "calls_network_once", False)
    with pytest.raises(ValueError, match="supervised"):
        cuda_graphs.check_cuda_graphs(made, "cuda", False, False, 1)


def test_the_regimes_that_call_it_more_often_say_so() -> None:
    from crosstask.regimes.adaptation.regime import Adaptation
    from crosstask.regimes.self_supervised.regime import SelfSupervised
    from crosstask.regimes.supervised import Supervised

    said = {kind: kind.calls_network_once for kind in (Supervised, Adaptation, SelfSupervised)}
    assert said == {Supervised: True, Adaptation: False, SelfSupervised: False}


def test_without_a_gpu_it_is_refused_before_anything_is_written(
    experiment: Make, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
        train(experiment(), tmp_path / "run", accelerator="cpu", cuda_graphs=True)
    assert not (tmp_path / "run").exists()
