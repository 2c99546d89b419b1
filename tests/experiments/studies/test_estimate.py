"""`study --estimate`: by hand, from a file of figures and from a few steps, and against a run's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from crosstask import cli
from crosstask.engine.hardware import Hardware
from crosstask.engine.pace import Pace
from crosstask.experiments.studies import estimate as module
from crosstask.experiments.studies.estimate import (
    Estimate,
    Figures,
    Measured,
    estimate,
    lines,
)
from crosstask.experiments.studies.planning import PlannedRun, plan
from crosstask.experiments.studies.study import StudyRun
from crosstask.media.files import write_json
from crosstask.recipes.resolving import resolve

TINY: dict[str, Any] = {
    "size": "32x64",
    "width": 0.0625,
    "encoder": "resnet10t",
    "pretrained": False,
    "batch_size": 2,
    "val_length": 3,
    "test_length": 5,
    "steps": 100,
    "val_every": 40,
    "workers": 0,
    "optimizer": "matched",
}
QUICK = ["study", "table4a", "--quick", "--rows", "densemtl", "--seeds", "0"]
IMAGES = 3 * 3 + 5  # three validations and the final scores


def planned(folder: Path, recipe: str = "procedural.supervised", **more: Any) -> list[PlannedRun]:
    given = {"architecture": "densemtl", "tasks": "segmentation,depth"}
    runs = [StudyRun(row="net", recipe=recipe, options=given, seed=seed) for seed in range(2)]
    return plan(runs, folder, lambda name: resolve(name, {**TINY, **more})[1])


def figures(path: Path, **changes: Any) -> Path:
    """A file with three rows of one training: the second of another network, the third slow and large."""
    row = {
        "kind": "training", "architecture": "densemtl", "batch": 4, "macs": 100, "size": [16, 32],
        "format": "bf16", "compiled": False, "step_seconds": 2.0, "validation_seconds": 0.5,
        "memory_gb": 3.0, "watts": 500.0,
    }  # fmt: skip
    other = {**row, "architecture": "padnet", "batch": 2, "macs": 400, "step_seconds": 9.0}
    large = {**row, "macs": 40000, "step_seconds": 7.0}
    left_out = {"kind": "training", "format": "bf16", "skipped": "why", "compiled": False}
    found = [{**r, **changes} for r in (row, other, large)]
    machine = {"device": "a card", "torch": "2", "dry_run": False}
    write_json(path, {"machine": machine, "rows": [left_out, *found]})
    return path


def test_memory_is_that_of_the_row_nearest_in_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network between two measured ones holds no more than the larger, whatever batch the nearer had."""
    monkeypatch.setattr(module, "count_macs", lambda *_: {"total": {"macs": 150}})
    path = figures(tmp_path / "f.json", architecture="another")
    row = json.loads(path.read_text())["rows"][1]
    alike = {**row, "batch": 2, "size": [32, 64], "macs": 1000, "memory_gb": 20.0}
    less_work = {**row, "batch": 1, "size": [32, 64], "macs": 290, "memory_gb": 15.0}
    write_json(path, {**json.loads(path.read_text()), "rows": [less_work, alike]})
    [found] = estimate(planned(tmp_path), Figures(path))
    assert found.memory == 20.0  # twice 15 would be more than the larger network needs


def test_from_figures_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_macs", lambda *_: {"total": {"macs": 400}})
    source = Figures(figures(tmp_path / "f.json"))
    [found] = estimate(planned(tmp_path, accumulate=2), source)
    # 2 images of 400 against 4 of 100: twice the work, 2 x 2 s, and two batches a step; an image
    # of four times the multiply-accumulates; 2 of 32x64 against 4 of 16x32: twice the pixels.
    assert (found.row, found.tasks, found.runs, found.steps) == ("net", "S-D", 2, 100)
    assert found.hours == pytest.approx(2 * (100 * 8.0 + IMAGES * 0.5 * 4) / 3600)
    assert found.memory == 6.0 and found.validates
    assert found.energy == pytest.approx(found.hours * 0.5)
    *_, total, told = lines([found], source.told)
    assert total.startswith("2 runs, about 0.46 hours of one process, 6.0 GB of memory")
    assert "0.2 kWh" in total and "a card" in told

    monkeypatch.setattr(module, "count_macs", lambda *_: {"total": {"macs": 2}})
    [small] = estimate(planned(tmp_path), source)
    assert small.hours == pytest.approx(2 * (100 * 2.0 + IMAGES * 0.5 * 0.02) / 3600)


@pytest.mark.parametrize(
    ("changes", "precision", "why"),
    [({"format": "float32"}, "auto", "without training in bf16"), ({"compiled": True}, "auto", "without"),
     ({}, "32", "without training in tf32")],
)  # fmt: skip
def test_figures_that_do_not_fit(
    changes: dict[str, Any], precision: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=why):
        Figures(figures(tmp_path / "f.json", **changes), precision)


def test_figures_of_a_dry_run_a_missing_file_and_another_regime(tmp_path: Path) -> None:
    write_json(tmp_path / "d.json", {"machine": {"dry_run": True}, "rows": []})
    with pytest.raises(ValueError, match="of a dry run"):
        Figures(tmp_path / "d.json")
    with pytest.raises(ValueError, match="figures"):
        Figures(tmp_path / "no.json")
    source = Figures(figures(tmp_path / "f.json"))
    with pytest.raises(ValueError, match="leave `--figures` out"):
        estimate(planned(tmp_path, "procedural.adaptation"), source)


@pytest.mark.parametrize(("workers", "step"), [(0, 2.0 + 6.0), (2, 3.0), (8, 2.0)])
def test_measured_by_hand(
    workers: int, step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(step=2.0, loading=6.0, validation=0.5, memory=1.5)
    monkeypatch.setattr(module, "measure_pace", lambda *_, **__: pace)
    [found] = estimate(planned(tmp_path, workers=workers), Measured(Hardware("cpu", "32")))
    assert found.hours == pytest.approx(2 * (100 * step + IMAGES * 0.5) / 3600)
    assert found.memory == 1.5 and found.energy is None


def test_the_command_and_what_a_run_leaves_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*QUICK, "--output", str(tmp_path / "runs")]
    assert cli.main([*argv, "--estimate"]) == 0
    head, row, total, told = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["row", "tasks", "runs", "steps"]
    assert row.split()[:4] == ["densemtl", "S-D-N", "1", "4"] and len(head) <= 80
    assert total.startswith("1 runs, about ") and told.startswith("Measured: 2 steps of each row")
    assert not (tmp_path / "runs").exists()

    assert cli.main([*argv, "--quiet"]) == 0
    run = tmp_path / "runs" / "densemtl.S-D-N.seed0"
    left = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert float(row.split()[-1]) == pytest.approx(left / 1e9, rel=0.1)


def test_a_method_that_keeps_more_than_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "balancing", "--quick", "--seeds", "0", "--output", str(tmp_path)]
    assert cli.main([*command, "--rows", "densemtl-balancing=dwa", "--estimate"]) == 0
    assert "densemtl-balancing=dwa" in capsys.readouterr().out


def test_figures_belong_to_an_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*QUICK, "--figures", str(tmp_path / "f.json")]) == 2
    assert "`--figures` belongs to `--estimate`" in capsys.readouterr().err


def test_rows_without_a_measurement_are_not_in_the_sum() -> None:
    known = Estimate(row="a", tasks="S", runs=3, steps=10, hours=6.0, memory=1.0, disk=0.1)
    unknown = Estimate(
        row="b", tasks="S", runs=4, steps=10, hours=None, memory=None, disk=0.1, why="no memory"
    )
    *_, total, missing, told = lines([known, unknown], "measured here")
    assert total.startswith("3 runs, about 6") and told == "measured here"
    assert missing == "1 of 2 rows could not be measured and are not in the sum."


def test_a_part_that_begins_later_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The few steps that are measured have the teacher in them."""
    started: list[int] = []

    def pace(experiment: Any, *_: Any, **__: Any) -> Pace:
        started.append(experiment.regime.teacher.settings.start)
        return Pace(step=2.0, loading=6.0, validation=0.5, memory=1.5)

    monkeypatch.setattr(module, "measure_pace", pace)
    later = {"method": "self_training", "pseudo_start": 50}
    source = Measured(Hardware("cpu", "32"))
    estimate(planned(tmp_path, "procedural.adaptation", **later), source)
    assert started == [0]
