"""What training does with `workers: auto` and with the threads that the command line chose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.engine import run_data, scoring, threads, training
from crosstask.engine.cores import Cores
from crosstask.engine.experiment import Experiment

CONFIG = {"recipe": "procedural.supervised"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of workers of all loaders; none of them is started."""
    numbers: list[int] = []
    for name in ("train_loader", "evaluation_loader"):
        plain: Callable[..., Any] = getattr(run_data, name)

        def noting(*args: Any, plain: Callable[..., Any] = plain, **options: Any) -> Any:
            numbers.append(options["workers"])
            return plain(*args, **options | {"workers": 0})

        monkeypatch.setattr(run_data, name, noting)
    return numbers


def pretend(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(threads, "cores", lambda: Cores(64, number, number))
    monkeypatch.delenv(threads.SHARE, raising=False)


@pytest.mark.parametrize(("workers", "cores", "expected"), [("auto", 1, 0), (3, 1, 3)])
def test_loaders_get_what_the_cores_allow(
    workers: int | str,
    cores: int,
    expected: int,
    made: list[int],
    experiment: Callable[..., Experiment],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, cores)
    monkeypatch.setattr(scoring, "_final_metrics", lambda *_: {"score": 0.0})
    training.train(
        experiment(workers=workers, steps=1, val_every=1), tmp_path / "r", config=CONFIG, progress=False, accelerator="cpu"
    )  # fmt: skip
    assert len(made) >= 2 and set(made) == {expected}


def test_auto_on_many_cores(monkeypatch: pytest.MonkeyPatch, made: list[int], experiment: Any) -> None:  # fmt: skip
    """The processes of one machine divide its cores; a GPU is fed by more workers than a CPU."""
    pretend(monkeypatch, 16)

    class Trainer:
        global_rank, world_size = 0, 2

        def __init__(self, device: str, processes: int) -> None:
            self.num_devices = processes
            self.strategy = type("S", (), {"root_device": torch.device(device)})

    for device, processes in (("cpu", 1), ("cpu", 2), ("cuda", 1), ("cuda", 4)):
        setting = experiment(workers="auto")
        data = run_data.RunData(setting, setting.train_data(), setting.val_data(), 0)
        data.trainer = Trainer(device, processes)  # type: ignore[assignment]
        monkeypatch.setattr(data, "_place", dict)
        data.val_dataloader()
    assert made == [4, 2, 8, 3]


def test_threads_are_the_command_lines_or_stay(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 2)
    monkeypatch.setattr(scoring, "_final_metrics", lambda *_: {"score": 0.0})
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    short = {"steps": 1, "val_every": 1}
    training.train(experiment(**short), tmp_path / "python", config=CONFIG, progress=False, accelerator="cpu")  # fmt: skip
    assert not asked  # used from Python, nothing chose a number
    monkeypatch.setenv(threads.THREADS, "2")
    monkeypatch.setenv(threads.CHOSEN, "2")
    training.train(experiment(**short), tmp_path / "cli", config=CONFIG, progress=False, accelerator="cpu")  # fmt: skip
    assert asked == [2]


def test_wrong_workers_are_told_when_an_experiment_is_made(
    experiment: Callable[..., Experiment],
) -> None:
    with pytest.raises(ValueError, match="`workers` is -2; expected auto or a number from 0"):
        experiment(workers=-2)
