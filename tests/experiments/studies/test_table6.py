from dataclasses import replace
from pathlib import Path

import pytest

from crosstask.engine.runs import Run, RunError
from crosstask.experiments.comparison.records import listed_baseline
from crosstask.experiments.studies.adaptation import LADDER, TABLE6, ladder
from crosstask.experiments.studies.running import PlannedRun, write_list
from crosstask.experiments.studies.self_supervised import TABLE5
from crosstask.experiments.studies.study import Setting


def test_the_whole_ladder_runs_with_every_seed() -> None:
    runs = TABLE6(Setting(dataset="synthia_to_cityscapes", seeds=(0, 1)))
    assert len(runs) == 2 * (11 + 5 * 2)  # 11 rows of two tasks, 5 rows of two single-task runs
    assert len({run.name for run in runs}) == len(runs)
    assert {run.recipe for run in runs} == {"synthia_to_cityscapes.adaptation"}
    assert [r.row for r in runs if r.seed == 0 and r.tasks[0] == "segmentation"] == list(LADDER)
    reference = [r for r in runs if r.row == "single_task-adversarial" and r.seed == 1]
    assert [r.tasks for r in reference] == [("segmentation",), ("depth",)]
    assert all(r.options["method"] == "adversarial" for r in reference)
    of_three = replace(TABLE6, rows=lambda s: ladder(s, ("segmentation", "depth", "normals")))
    three = of_three(Setting(dataset="procedural", seeds=(0,)))
    assert len(three) == 11 + 5 * 3
    matched = [r for r in three if r.row.endswith("matched_self_training")]
    assert len(matched) == 4 and all(r.options["match_noise"] is True for r in matched)
    assert sum("match_noise" in r.options for r in three) == 4
    controls = {r.row: r.options for r in three if "matched-adv" in r.row}
    assert controls["multi_task_matched-adversarial"].get("options") is None
    widened = controls["compute_matched-adversarial"]["options"]
    assert widened == {"match": "densemtl", "match_size": [128, 256]}


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
