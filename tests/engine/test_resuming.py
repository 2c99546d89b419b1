"""Where a run begins: what is there already, what a resumed run may change, longer runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.engine.experiment import Experiment
from crosstask.engine.metrics_file import read_rows
from crosstask.engine.resuming import RunExists, Start, kept_precision, prepare
from crosstask.engine.runs import Run, RunError
from crosstask.engine.training import train
from crosstask.media.files import write_json

Make = Callable[..., Experiment]
CONFIG = {"recipe": "a.supervised", "steps": 6, "batch_size": 2, "workers": 2}
MACHINE = {"precision": "32", "devices": 1, "num_nodes": 1}


def stopped(run: Run, step: int = 3, machine: dict[str, Any] | None = MACHINE) -> None:
    """A run as it is left behind at a step."""
    run.last.parent.mkdir(parents=True)
    torch.save({"global_step": step}, run.last)
    run.write_config(CONFIG, machine)
    run.metrics_file.write_text("step,name,value\n0,train/loss,1.0\n")


def test_resume_begins_at_step_0_where_nothing_is_saved(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    assert prepare(run, CONFIG, MACHINE, resume=True) == Start()
    run.metrics_file.write_text("step,name,value\n0,train/loss,1.0\n")  # killed in its first steps
    assert prepare(run, CONFIG, MACHINE, resume=True) == Start()
    assert prepare(run, CONFIG | {"lr": 1.0}, MACHINE, resume=True) == Start()  # nothing to lose
    assert run.read_config()["lr"] == 1.0
    assert run.read_machine() == MACHINE


def test_a_run_that_failed_before_its_first_row_is_no_run(tmp_path: Path) -> None:
    """A wrong `--root`: the same command is given again with the right one."""
    run = Run(tmp_path)
    prepare(run, CONFIG, MACHINE, resume=False)
    assert prepare(run, CONFIG | {"batch_size": 4}, MACHINE, resume=False) == Start()
    assert run.read_config()["batch_size"] == 4


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("rows", "stopped before its first checkpoint; continue it with `--resume`"),
        ("stopped", "a.supervised, stopped at step 3 of 6; continue it with `--resume`"),
        ("finished", "finished .*; train it longer with `--resume` and more `--steps`"),
    ],
)
def test_a_new_run_says_what_is_there(tmp_path: Path, state: str, words: str) -> None:
    run = Run(tmp_path)
    stopped(run)
    if state == "rows":
        run.last.unlink()
    if state == "finished":
        write_json(tmp_path / "metrics.json", {"score": 0.5})
    with pytest.raises(RunExists, match=words):
        prepare(run, CONFIG, MACHINE, resume=False)
    with pytest.raises(RunExists, match=r"batch_size: 2 then, 4 now\n.*another `--run`") as caught:
        prepare(run, CONFIG | {"batch_size": 4}, MACHINE, resume=False)
    assert not caught.value.same


def test_a_finished_run_without_its_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"score": 0.5})
    with pytest.raises(RunError, match="put the file back"):
        prepare(Run(tmp_path), CONFIG, MACHINE, resume=True)


def test_stale_files_of_a_killed_process_go(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stopped(run)
    stale = [tmp_path / ".model.json.a.part", run.last.with_name(".last.ckpt.b.part")]
    for file in stale:
        file.write_bytes(b"half")
    prepare(run, CONFIG, MACHINE, resume=True)
    assert not any(file.exists() for file in stale)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": "bf16"}, r"precision: '32' then, 'bf16' now\n.*`--precision 32`"),
        ({"devices": 2}, r"devices: 1 then, 2 now\n.*`--devices 1`"),
        ({"num_nodes": 2}, "num_nodes: 1 then, 2 now"),
    ],
)
def test_another_precision_or_number_of_processes(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    run = Run(tmp_path)
    stopped(run)
    with pytest.raises(RunError, match=words):
        prepare(run, CONFIG, MACHINE | change, resume=True)


def test_two_processes_are_two_wherever_they_are(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stopped(run, machine=MACHINE | {"devices": 2})
    machine = MACHINE | {"num_nodes": 2}
    assert prepare(run, CONFIG, machine, resume=True) == Start(3, run.last)


def test_what_the_config_does_not_know_is_not_compared(tmp_path: Path) -> None:
    """Runs of older versions."""
    run = Run(tmp_path)
    stopped(run, machine=None)
    machine = MACHINE | {"precision": "bf16"}
    assert prepare(run, CONFIG, machine, resume=True) == Start(3, run.last)


def test_auto_is_the_precision_of_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert kept_precision(run, "auto") == "auto"
    stopped(run, machine=MACHINE | {"precision": "bf16"})
    assert kept_precision(run, "auto") == "bf16"
    assert kept_precision(run, "32") == "32"


def test_other_workers_are_no_other_run_and_another_batch_size_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stopped(run)
    assert prepare(run, CONFIG | {"workers": 0}, MACHINE, resume=True) == Start(3, run.last)
    with pytest.raises(RunError, match=r"batch_size: 2 then, 4 now\n.*`--batch-size 2`"):
        prepare(run, CONFIG | {"batch_size": 4}, MACHINE, resume=True)


def test_more_steps_are_kept_in_the_config(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stopped(run)
    write_json(tmp_path / "metrics.json", {"score": 0.5})
    with pytest.warns(UserWarning, match="goes on to step 8 instead of 6: from step 3 on"):
        start = prepare(run, CONFIG | {"steps": 8}, MACHINE, resume=True)
    assert start == Start(3, run.last, [{"at": 3, "from": 6, "to": 8}])
    assert run.read_config()["steps"] == 8 and run.read_machine() == MACHINE
    assert not (tmp_path / "metrics.json").exists()  # of the shorter run
    assert json.loads((tmp_path / "metrics-step6.json").read_text()) == {"score": 0.5}
    with pytest.raises(RunError, match="is at step 3 already; expected at least 3"):
        prepare(run, CONFIG | {"steps": 2}, MACHINE, resume=True)


def weights(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def test_a_longer_run_is_the_long_run_where_the_schedules_agree(
    experiment: Make, tmp_path: Path
) -> None:
    """Adam's steps have factor 1 until 75 %: 3 of 4 steps, then on to 8, are the first of 8."""
    options = {"optimizer": "adam", "val_every": 3}
    train(experiment(steps=8, **options), tmp_path / "whole", config={"steps": 8}, progress=False)
    train(experiment(steps=3, **options), tmp_path / "short", config={"steps": 3}, progress=False)
    # the third step of three is at 67 % of them: still at factor 1
    with pytest.warns(UserWarning, match="goes on to step 8 instead of 3"):
        train(
            experiment(steps=8, workers=1, **options),
            tmp_path / "short",
            config={"steps": 8},
            resume=True,
            progress=False,
        )
    whole, short = weights(tmp_path / "whole"), weights(tmp_path / "short")
    assert short["global_step"] == 8
    for key, value in whole["state_dict"].items():
        assert torch.equal(short["state_dict"][key], value), key
    rows = [
        [row for row in read_rows(tmp_path / name / "metrics.csv") if row[1].startswith("val/")]
        for name in ("whole", "short")
    ]
    assert rows[0] == rows[1]
    env = json.loads((tmp_path / "short/env.json").read_text())
    assert env["lengths"] == [{"at": 3, "from": 3, "to": 8}]


@pytest.mark.parametrize("cut_off", [False, True])
def test_the_rate_of_a_longer_run_follows_the_longer_schedule(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: bool
) -> None:
    """Also where the longer run was killed before it saved: config.yaml has its length already."""
    from crosstask.regimes.regime import Regime

    rates: dict[int, float] = {}
    step = Regime.training_step

    def remember(self: Regime, batch: Any, batch_idx: int) -> Any:
        rates[self.global_step] = self.trainer.optimizers[0].param_groups[0]["lr"]
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Regime, "training_step", remember)
    train(experiment(steps=2), tmp_path / "r", config={"steps": 2}, progress=False)
    with pytest.warns(UserWarning, match="goes on"):
        if cut_off:
            prepare(Run(tmp_path / "r"), {"steps": 4}, Run(tmp_path / "r").read_machine(), True)
        else:
            train(
                experiment(steps=4),
                tmp_path / "r",
                config={"steps": 4},
                resume=True,
                progress=False,
            )
    if cut_off:
        train(experiment(steps=4), tmp_path / "r", config={"steps": 4}, resume=True, progress=False)
    base = 2e-3 / 25  # of "matched", whose warm-up has 25 steps
    for at, steps in ((0, 2), (1, 2), (2, 4), (3, 4)):
        assert rates[at] == pytest.approx(base * (at + 1) * (1 - at / steps) ** 0.9), at
