"""Signals: the step is finished and saved, the exit code says which signal it was, nothing is half."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from torch import Tensor

from crosstask.engine import interruption
from crosstask.engine.experiment import Experiment
from crosstask.engine.interruption import Stopped, Watch, requeue_job, stopping_at_once
from crosstask.engine.metrics_file import read_rows
from crosstask.engine.training import train
from crosstask.media.files import atomic_path
from crosstask.regimes.regime import Regime

Make = Callable[..., Experiment]
CONFIG = {"recipe": "test", "steps": 6}


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def weights(run: Path) -> dict[str, Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def signalled(
    monkeypatch: pytest.MonkeyPatch, number: int, step: int, hook: str = "training_step"
) -> None:
    """The signal comes in the middle of that step, or of the validation after it."""
    inner, sent = getattr(Regime, hook), []

    def interrupted(self: Regime, *args: Any) -> Any:
        if self.global_step == step and not sent:
            sent.append(number)
            send(number)
        return inner(self, *args)

    monkeypatch.setattr(Regime, hook, interrupted)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.mark.parametrize(
    ("number", "hook", "step", "saved"),
    [
        (signal.SIGTERM, "training_step", 2, 3),  # between two validations
        (signal.SIGINT, "training_step", 3, 4),  # a validation follows
        (signal.SIGTERM, "validation_step", 2, 2),
        (signal.SIGTERM, "training_step", 5, 6),  # the last step
    ],
)
def test_a_signal_saves_its_step_and_the_run_resumes_exactly(
    experiment: Make,
    tmp_path: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    hook: str,
    step: int,
    saved: int,
) -> None:
    options: dict[str, Any] = {"accumulate": 2, "ema": 0.9}
    if not whole.exists():
        train(experiment(**options), whole, config=CONFIG, progress=False)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signalled(patch, number, step, hook)
        with pytest.raises(Stopped, match=f"stopped at step {saved} of 6; continue with --resume"):
            train(experiment(**options), run, config=CONFIG, progress=False)
    assert {n: signal.getsignal(n) for n in before} == before
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == saved
    assert not list(run.rglob("*.part"))
    train(experiment(**options), run, config=CONFIG, resume=True, progress=False)
    first, second = weights(whole), weights(run)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert read_rows(run / "metrics.csv") == read_rows(whole / "metrics.csv")
    assert (run / "metrics.json").read_text() == (whole / "metrics.json").read_text()


def test_exit_codes() -> None:
    assert Stopped(signal.SIGTERM).exit_code == 143
    assert Stopped(signal.SIGINT).exit_code == 130


def test_a_signal_outside_the_steps_ends_at_once(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the data are opened; nothing was saved, and the same command begins again."""
    made = experiment()
    monkeypatch.setattr(made, "train_data", lambda: send(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(made, tmp_path / "run", config=CONFIG, progress=False)
    assert not (tmp_path / "run/checkpoints/last.ckpt").exists()


def test_only_ctrl_c_again_stops_at_once() -> None:
    """SLURM sends SIGTERM after its first signal: the step must still be saved."""
    watch = Watch()
    with watch.handle():
        watch.wait()
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert watch.received == signal.SIGTERM
        with pytest.raises(Stopped):
            send(signal.SIGINT)


def test_a_terminated_command_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(Stopped), stopping_at_once(), atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("half")
        send(signal.SIGTERM)
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_announcement_of_a_cluster_requeues_the_job(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGUSR1 through Lightning's environment: saved, `scontrol requeue`, and then resumed."""
    tool, log = tmp_path / "scontrol", tmp_path / "asked"
    tool.write_text(f'#!/bin/sh\necho "$@" > {log}\n')
    tool.chmod(0o755)
    for key, value in {
        "SLURM_NTASKS": "1",
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NAME": "train",
    }.items():
        monkeypatch.setenv(key, value)
    for key, value in {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert SLURMEnvironment.detect()
    before = signal.getsignal(signal.SIGUSR1)
    signalled(monkeypatch, signal.SIGUSR1, 2)
    with pytest.raises(Stopped, match="stopped at step 3 of 6; job 42 is requeued"):
        train(experiment(), tmp_path / "run", config=CONFIG, progress=False)
    assert log.read_text() == "requeue 42\n"
    assert signal.getsignal(signal.SIGUSR1) == before
    assert not list(Path.cwd().glob("hpc_ckpt*"))
    train(experiment(), tmp_path / "run", config=CONFIG, resume=True, progress=False)
    assert (tmp_path / "run/metrics.json").is_file()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "SLURM_JOB_ID is ''"),
        ({"SLURM_JOB_ID": "1; rm -rf x"}, "not requeued"),
        ({"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}, r"job 7_3 is not requeued \("),
    ],
)
def test_a_job_that_cannot_be_requeued_says_so(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    def missing(*args: Any, **options: Any) -> None:
        raise FileNotFoundError("scontrol")

    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(interruption.subprocess, "run", missing)
    import re

    assert re.search(words, requeue_job())
