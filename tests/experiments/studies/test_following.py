"""Studies whose runs take several processes."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from crosstask.cli import main
from crosstask.engine.runs import Run
from crosstask.experiments.studies import following, running
from crosstask.experiments.studies.following import Others
from crosstask.experiments.studies.planning import FINISHED, PlannedRun
from crosstask.experiments.studies.running import follow, run_study
from crosstask.experiments.studies.study import StudyRun
from crosstask.media.files import write_json

TOLD = "CROSSTASK_STUDY_RUN"


def planned(folder: Path, number: int = 3) -> list[PlannedRun]:
    runs = [
        StudyRun(row="r", recipe="r", options={"tasks": "depth"}, seed=k) for k in range(number)
    ]
    return [PlannedRun(run, Run(folder / f"run{run.seed}"), {"seed": run.seed}, 2) for run in runs]


def finish(item: PlannedRun) -> None:
    with item.place.lock():
        item.place.write_config(item.config, {"devices": 2, "num_nodes": 1})
        write_json(item.place.path / "metrics.json", {"score": 0.5})


def test_the_environment_tells_those_that_a_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def train(item: PlannedRun, resume: bool) -> None:
        told.append(os.environ[TOLD])
        finish(item)

    items = planned(tmp_path)
    assert len(run_study(items, train, lambda _: None, Others(devices=2))[FINISHED]) == 3
    assert len(set(told)) == 3 and TOLD not in os.environ
    monkeypatch.setenv(TOLD, told[1])
    others, seen = Others(devices=2), []
    assert not others.first and not others.lasting
    follow(items, lambda item, resume: seen.append((item.run.name, resume)), others)
    assert seen == [(items[1].run.name, False)]
    assert TOLD not in os.environ  # what this process starts are no processes of that run
    alone = Others()
    with alone.train_along("any", False):
        assert TOLD not in os.environ and alone.first


def lasting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool) -> list[Any]:
    """What the second of two processes trains, which a thread is here."""
    here, port = threading.local(), find_free_network_port()
    environment = SimpleNamespace(main_address="127.0.0.1", main_port=port)
    monkeypatch.setattr(following, "launched_by", lambda: environment)
    monkeypatch.setattr(following, "process_rank", lambda: vars(here).get("rank", 0))
    for name in ("MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.setenv(name, "")  # put back afterwards
    items, seen = planned(tmp_path), []

    def second() -> None:
        here.rank = 1
        others = Others(devices=2)
        assert not others.first
        try:
            follow(items, lambda i, _: seen.append((i.run.name, os.environ["MASTER_PORT"])), others)
        except dist.DistError:  # the first process and its store are gone
            assert fails

    def train(item: PlannedRun, resume: bool) -> None:
        if fails:
            raise RuntimeError("no room")
        finish(item)

    first = Others(devices=2)
    assert first.first and first.lasting
    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    try:
        run_study(items, train, lambda _: None, first)
        thread.join(60)
    finally:
        seen.append(thread.is_alive())
    return seen


def test_processes_that_last_follow_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    *seen, alive = lasting(monkeypatch, tmp_path, fails=False)
    assert [name for name, _ in seen] == [item.run.name for item in planned(tmp_path)] and not alive
    assert len({port for _, port in seen}) == 3  # a process group's leavings confuse the next


def test_a_failure_ends_a_study_of_processes_that_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="no room"):  # the others would wait for ever
        lasting(monkeypatch, tmp_path, fails=True)
    assert "no room" in (tmp_path / "run0/error.txt").read_text()


QUICK = ["study", "table1", "--quick", "--seeds", "0", "--rows", "multi_task", "--quiet"]


def test_options_reach_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[dict[str, Any]] = []

    def train(experiment: None, run: Path, config: dict[str, Any], **how: Any) -> dict[str, float]:
        got.append(how)
        Run(run).write_config(config, {"devices": 2, "num_nodes": 1})
        write_json(run / "metrics.json", {"score": 0.5})
        return {}

    monkeypatch.setattr(running, "begin", lambda *_: None)
    monkeypatch.setattr(running, "train", train)
    options = (
        "--accelerator cpu --precision 32 --devices 2 --strategy ddp_find_unused_parameters_true"
    )
    assert main([*QUICK, "--output", str(tmp_path), *options.split()]) == 0
    assert len(got) == 2 and got[0] == {
        "resume": False, "accelerator": "cpu", "precision": "32", "devices": 2, "num_nodes": 1,
        "strategy": "ddp_find_unused_parameters_true", "progress": False, "cuda_graphs": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "0"], "`devices` is 0; expected a whole number from 1"),
        (["--strategy", "dpp"], "`strategy` is 'dpp'; expected one of auto, ddp"),
        (["--num-nodes", "2"], "`num_nodes` is 2, and neither torchrun nor srun started"),
        (["--devices", "2", "--estimate"], "leave out `--devices`"),
    ],
)
def test_what_cannot_be_is_said_once_before_anything_is_written(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, "--output", str(tmp_path / "out"), *options]) == 2
    assert capsys.readouterr().err.count(words) == 1
    assert not (tmp_path / "out").exists()


def test_other_numbers_than_torchrun_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*QUICK, "--output", str(tmp_path / "out"), "--devices", "3"]) == 2
    assert "does not match the world size (2)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("launcher", [[], ["torch.distributed.run", "--nproc-per-node", "2", "-m"]])
def test_two_processes_train_two_runs(
    launcher: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lightning's own launcher, and torchrun."""
    options = [*QUICK, "--output", str(tmp_path), "--accelerator", "cpu", "--steps", "2"]
    more = ["--train-length", "8", "--devices", "2", "--strategy", "ddp"]
    command = [sys.executable, "-m", *launcher, "crosstask", *options, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "finished: 2\nfailed: 0" in done.stdout
    for name in ("multi_task.S-D.seed0", "multi_task.S-D-N.seed0"):
        run = Run(tmp_path / name)
        assert run.read_machine()["devices"] == 2 and run.read_metrics()
    assert main([*options, *more[:2], "--list"]) == 2  # a step of one process is another step
    assert "2 there, 1 asked" in capsys.readouterr().err
