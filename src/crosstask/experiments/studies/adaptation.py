"""Table 6 of DenseMTL: the ladder of domain adaptation, and the rungs that the paper lacks."""

from typing import Any

from crosstask.experiments.studies.study import PROBE, Row, Setting, Study, compute_matched
from crosstask.recipes.sets import S_D

# row: architecture
NETWORKS = {
    "single_task": "single_task",
    "multi_task": "multi_task",
    "multi_task_matched": "multi_task_matched",
    "compute_matched": "multi_task_matched",
    "densemtl": "densemtl",
}
# What worked (docs/results/adaptation.md): the sensor first, then a slow teacher that begins late.
SENSOR: dict[str, object] = {"match_colors": True, "match_noise": True}
TEACHER: dict[str, object] = {"teacher_decay": 0.998, "pseudo_share": 0.2, "pseudo_start": 200}
METHODS: dict[str, dict[str, Any]] = {
    "source": {"method": "source_only"},
    "adversarial": {"method": "adversarial"},
    "self_training": {"method": "self_training", **SENSOR},
}
# Oracles, and further methods of DenseMTL.
FURTHER: dict[str, dict[str, Any]] = {
    "both": {"method": "both", **SENSOR},
    "self_training_alone": {"method": "self_training"},
}


def ladder(setting: Setting, tasks: tuple[str, ...] = S_D) -> list[Row]:
    """Table 6: source only, target oracle, STL-UDA (the reference of delta), MTL-UDA and DenseMTL.

    Every network is trained on the source for twice the steps of the study (`NAME-start`); each
    method begins from there, source-only training too. The oracle has their sum of steps. Beyond
    the paper: the controls without an exchange, and self-training on source images that have the
    target's colours and noise. The dataset is synthia_to_cityscapes, vkitti2_to_cityscapes or procedural.
    """
    rows = []
    networks = NETWORKS | ({PROBE: PROBE} if setting.probe else {})
    for name, architecture in networks.items():
        rows.append(_row(setting, name, architecture, tasks, "start", METHODS["source"], length=2))
        methods = METHODS | (FURTHER if name == "densemtl" else {})
        for method, options in methods.items():
            start = f"{name}-start"
            rows.append(_row(setting, name, architecture, tasks, method, options, start=start))
        if name in ("single_task", "multi_task", "densemtl"):
            oracle = {"method": "oracle", "match_colors": False, "match_noise": False}
            rows.append(_row(setting, name, architecture, tasks, "oracle", oracle, length=3))
    return rows


def _row(
    setting: Setting,
    name: str,
    architecture: str,
    tasks: tuple[str, ...],
    method: str,
    options: dict[str, Any],
    **more: Any,
) -> Row:
    return Row(
        name=f"{name}-{method}",
        architecture=architecture,
        tasks=tasks,
        options=compute_matched(setting) if name == "compute_matched" else {},
        recipe_options=options,
        apart=name == "single_task",
        **more,
    )


TABLE6 = Study(
    name="table6",
    rows=ladder,
    regime="adaptation",
    defaults=TEACHER,
    varies=("training split",),  # oracles read the target's labels
    baseline="single_task-adversarial",
)
