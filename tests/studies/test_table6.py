from crosstask.studies.adaptation import LADDER, table6
from crosstask.studies.study import Setting


def test_the_whole_ladder_runs_with_every_seed() -> None:
    runs = table6(Setting(dataset="synthia_to_cityscapes", seeds=(0, 1)))
    assert len(runs) == 2 * (11 + 5 * 2)  # 11 rows of two tasks, 5 rows of two single-task runs
    assert len({run.name for run in runs}) == len(runs)
    assert {run.recipe for run in runs} == {"synthia_to_cityscapes.adaptation"}
    assert [r.row for r in runs if r.seed == 0 and r.tasks[0] == "segmentation"] == list(LADDER)
    reference = [r for r in runs if r.row == "single_task-adversarial" and r.seed == 1]
    assert [r.tasks for r in reference] == [("segmentation",), ("depth",)]
    assert all(r.options["method"] == "adversarial" for r in reference)
    three = table6(Setting(dataset="procedural", seeds=(0,)), ("segmentation", "depth", "normals"))
    assert len(three) == 11 + 5 * 3
    matched = [r for r in three if r.row.endswith("matched_self_training")]
    assert len(matched) == 4 and all(r.options["match_noise"] is True for r in matched)
    assert sum("match_noise" in r.options for r in three) == 4
    controls = {r.row: r.options for r in three if "matched-adv" in r.row}
    assert controls["multi_task_matched-adversarial"].get("options") is None
    widened = controls["compute_matched-adversarial"]["options"]
    assert widened == {"match": "densemtl", "match_size": [128, 256]}
