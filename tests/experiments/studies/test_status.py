"""What `study --status` tells of runs, how `--shard` divides them, and the script of a cluster's array."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import pytest

from crosstask.cli import study as command
from crosstask.engine.metrics_file import MetricsFile
from crosstask.engine.runs import read_json
from crosstask.experiments.studies.planning import PlannedRun, plan, shard
from crosstask.experiments.studies.running import run_study
from crosstask.experiments.studies.status import hours_left, lines, look
from crosstask.experiments.studies.study import StudyRun
from crosstask.media.files import write_json

SCALING = Path(__file__).parents[3] / "docs" / "scaling.md"


def planned(folder: Path, count: int, steps: int | None = 100) -> list[PlannedRun]:
    options = {"tasks": "depth"}
    runs = [StudyRun(row="net", recipe="r", options=options, seed=seed) for seed in range(count)]
    return plan(runs, folder, lambda recipe: {"tasks": "", "seed": 0, "steps": steps})


def begin(item: PlannedRun, step: int, hours: float, from_step: int = 0) -> None:
    """As if the study had started the run `hours` ago at `from_step`, and just logged `step`."""
    item.place.path.mkdir(parents=True, exist_ok=True)
    item.place.write_config(item.config)
    MetricsFile(item.place.metrics_file).append(step, {"loss": 1.0})
    at = item.place.metrics_file.stat().st_mtime
    write_json(
        item.place.path / "study.json",
        {"row": "net", "seed": 0, "started": at - 3600 * hours, "from_step": from_step},
    )


def test_every_state_by_hand(tmp_path: Path) -> None:
    done, running, cut, failed, other, fresh = planned(tmp_path, 6)
    begin(done, 100, 2.0)
    write_json(done.place.path / "metrics.json", {"score": 0.5})
    begin(running, 60, 1.0, from_step=20)  # 40 steps an hour: one more hour
    begin(cut, 50, 2.0)  # 25 steps an hour: two more
    begin(failed, 10, 1.0)
    (failed.place.path / "error.txt").write_text("Traceback\nValueError: no such file\n")
    other.place.path.mkdir(parents=True)
    other.place.write_config({**other.config, "steps": 7})
    with running.place.lock():
        found = [look(item) for item in (done, running, cut, failed, other, fresh)]
    states = ["finished", "running", "started", "failed", "unusable", "not started"]
    assert [run.state for run in found] == states
    here = f"{platform.node()}, process {os.getpid()}"
    assert found[1].where == here and found[5].where == ""
    assert [run.hours_left for run in found[1:3]] == pytest.approx([1.0, 2.0], rel=1e-3)
    assert found[0].hours_left is None and found[5].hours_left is None
    assert found[3].why == "ValueError: no such file"
    assert "other settings" in found[4].why
    pace = (2 / 100 + 1 / 60 + 2 / 50) / 3  # hours a step: finished, running, cut off
    total, unknown = hours_left(found)
    assert total == pytest.approx(3.0 + 90 * pace + 100 * pace, rel=1e-3) and unknown == 0
    text = "\n".join(lines(found))
    assert (
        "60/100" in text and "1 running, 1 started" in text and "hours of one process left" in text
    )


def test_nothing_is_guessed_before_anything_ran(tmp_path: Path) -> None:
    assert hours_left([look(item) for item in planned(tmp_path, 3)]) == (None, 3)
    assert lines([look(item) for item in planned(tmp_path, 3)])[-1] == "3 not started"
    (item,) = planned(tmp_path, 1, steps=None)
    begin(item, 10, 1.0)
    assert look(item).hours_left is None and "10/?" in lines([look(item)])[1]


def test_a_study_notes_when_each_run_began(tmp_path: Path) -> None:
    items = planned(tmp_path, 1)

    def train(item: PlannedRun, resume: bool) -> None:
        begun = read_json(item.place.path / "study.json")
        assert begun["from_step"] == 0 and begun["started"] > 1e9
        begin(item, 100, 1.0)
        write_json(item.place.path / "metrics.json", {"score": 0.5})

    run_study(items, train, say=lambda text: None)
    assert look(items[0]).state == "finished"


def test_looking_does_not_claim_a_run(tmp_path: Path) -> None:
    (item,) = planned(tmp_path, 1)
    with item.place.lock():
        pass
    (item.place.path / ".lock").write_text("node7, process 3\n")
    begin(item, 5, 1.0)
    assert look(item).where == look(item).where == "node7, process 3"


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 12])
def test_shards_are_disjoint_and_cover_all(tmp_path: Path, parts: int) -> None:
    items = planned(tmp_path, 7)
    found = [shard(items, f"{part}/{parts}") for part in range(1, parts + 1)]
    names = [item.run.name for group in found for item in group]
    assert sorted(names) == sorted(item.run.name for item in items)
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_wrong_shards(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="expected PART/PARTS"):
        shard(planned(tmp_path, 3), text)


def test_the_array_script_of_the_documentation_runs_everything_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its command, with each number of its array, names every run of the study exactly once."""
    script = re.search(r"```\n(#!/bin/bash\n.*?)```", SCALING.read_text(), re.DOTALL)
    assert script is not None
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", script[1]).groups())
    call = re.search(
        r"crosstask study (.*?)(?:\|\||\n\n|$)", script[1].replace("\\\n", " "), re.DOTALL
    )
    names: list[str] = []
    for number in range(first, last + 1):
        names_of = {
            "$SLURM_ARRAY_TASK_ID": str(number),
            "$SLURM_ARRAY_TASK_COUNT": str(last - first + 1),
            '"': "",
            "$OUT": str(tmp_path),
        }
        text = call[1]
        for name, value in names_of.items():
            text = text.replace(name, value)
        arguments: Any = [word for word in text.split() if word]
        assert command.main([*arguments, "--list"]) == 0
        names += [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert command.main([*arguments, "--shard", "1/1", "--list"]) == 0
    whole = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(names) == sorted(whole) and len(whole) > 8
    assert command.main([*arguments, "--shard", "1/1", "--status"]) == 0
    assert f"{len(whole)} not started" in capsys.readouterr().out
