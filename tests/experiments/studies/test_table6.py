from dataclasses import replace
from pathlib import Path

import pytest

from crosstask.engine.runs import Run, RunError
from crosstask.experiments.comparison.records import listed_baseline, read_record
from crosstask.experiments.studies.adaptation import TABLE6, ladder
from crosstask.experiments.studies.planning import (
    FINISHED,
    WAITING,
    PlannedRun,
    choose_rows,
    plan,
    write_list,
)
from crosstask.experiments.studies.running import run_study
from crosstask.experiments.studies.self_supervised import TABLE5
from crosstask.experiments.studies.study import Setting
from crosstask.media.files import write_json
from experiments.comparison.made_up_runs import make_run


def test_every_network_begins_each_method_from_its_own_source_training() -> None:
    runs = TABLE6(Setting(dataset="synthia_to_cityscapes", seeds=(0, 1)))
    # start and three methods of five networks, three oracles, two more of densemtl; one run a task apart
    assert len(runs) == 2 * (5 * 4 + 3 + 2 + 5)
    assert len({run.name for run in runs}) == len(runs)
    assert {run.recipe for run in runs} == {"synthia_to_cityscapes.adaptation"}
    reference = [r for r in runs if r.row == "single_task-adversarial" and r.seed == 1]
    assert [r.tasks for r in reference] == [("segmentation",), ("depth",)]
    assert [r.start_name for r in reference] == [
        "single_task-start.S.seed1",
        "single_task-start.D.seed1",
    ]
    names = [run.name for run in runs]
    for place, run in enumerate(runs):
        if run.row.endswith(("-start", "-oracle")):
            assert run.start is None and run.length == (2 if "start" in run.row else 3)
        else:
            assert run.length == 1 and names.index(run.start_name) < place, run.name
            begun = runs[names.index(run.start_name)]
            assert begun.options["architecture"] == run.options["architecture"]
            assert begun.options.get("options") == run.options.get("options")
            assert begun.options["method"] == "source_only" and begun.tasks == run.tasks
    taught = [r for r in runs if r.row.endswith("-self_training")]
    assert {r.row for r in taught} >= {"multi_task-self_training", "densemtl-self_training"}
    assert all(r.options["match_noise"] and r.options["match_colors"] for r in taught)
    assert TABLE6.defaults == {"teacher_decay": 0.998, "pseudo_share": 0.2, "pseudo_start": 200}
    assert not any(
        set(TABLE6.defaults) & set(run.options) for run in runs
    )  # the user may give others
    of_three = replace(TABLE6, rows=lambda s: ladder(s, ("segmentation", "depth", "normals")))
    assert len(of_three(Setting(dataset="procedural", seeds=(0,)))) == 5 * 4 + 3 + 2 + 5 * 2
    widened = next(r for r in runs if r.row == "compute_matched-adversarial").options["options"]
    assert widened == {"match": "densemtl", "match_size": [128, 256]}


def test_a_run_waits_for_the_one_that_it_begins_from(tmp_path: Path) -> None:
    chosen = choose_rows(TABLE6(Setting(seeds=(0,))), ["densemtl-adversarial"])
    assert [run.row for run in chosen] == ["densemtl-start", "densemtl-adversarial"]
    options = {"architecture": "", "tasks": "", "method": "", "seed": 0, "steps": 5}
    first, second = plan(chosen, tmp_path, lambda recipe: {**options, "init_from": None})
    assert (first.config["steps"], second.config["steps"]) == (10, 5)
    assert first.config["init_from"] is None
    assert second.config["init_from"] == str(tmp_path / "densemtl-start.S-D.seed0")
    done: list[str] = []

    def train_one(item: PlannedRun, resume: bool) -> None:
        done.append(item.run.row)
        if item is first and len(done) == 1:
            raise RuntimeError("cut off")
        item.place.write_config(item.config)
        write_json(item.place.path / "metrics.json", {"score": 0.5})

    result = run_study([second, first], train_one, say=lambda text: None)
    assert done == ["densemtl-start"] and result["failed"] == [first.run.name]
    assert result[WAITING] == [second.run.name]
    result = run_study([second, first], train_one, say=lambda text: None)
    assert done[1:] == ["densemtl-start", "densemtl-adversarial"]
    assert len(result[FINISHED]) == 2 and not result[WAITING]


def test_rows_with_starts_of_their_own_have_one_setting(tmp_path: Path) -> None:
    records = []
    for name in ("densemtl", "multi_task_matched"):
        for seed in (0, 1):
            begun = str(tmp_path / f"{name}-start.S.seed{seed}")
            path = tmp_path / f"{name}-adversarial.S.seed{seed}"
            make_run(path, name, {"segmentation": 0.5}, seed=seed, init_from=begun)
            records.append(read_record(path))
    a, b, c, _ = records
    assert a.start == "densemtl-start" and a.key() == b.key() != c.key()
    assert a.setting() == b.setting() == c.setting()
    make_run(tmp_path / "x", "densemtl", {"segmentation": 0.5}, init_from="elsewhere/run")
    assert read_record(tmp_path / "x").start is None


def test_the_list_names_what_gains_are_measured_against(tmp_path: Path) -> None:
    """The paper's reference, as long as its rows are among the runs."""
    runs = TABLE6(Setting(dataset="procedural", seeds=(0,)))
    planned = [PlannedRun(run, Run(tmp_path / run.name), {}) for run in runs]
    write_list(tmp_path / "table6.json", "table6", planned, TABLE6.baseline)
    assert listed_baseline([tmp_path / "table6.json"]) == "single_task-adversarial"
    few = [item for item in planned if item.run.row.startswith("densemtl")]
    write_list(tmp_path / "few.json", "table6", few, TABLE6.baseline)
    assert listed_baseline([tmp_path / "few.json"]) is None
    write_list(tmp_path / "table5.json", "table5", [], TABLE5.baseline)
    assert listed_baseline([tmp_path / "table5.json"]) == "none"
    with pytest.raises(RunError, match="choose with `--baseline`"):
        listed_baseline([tmp_path / "table5.json", tmp_path / "table6.json"])
