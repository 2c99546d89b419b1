"""Table 6 of DenseMTL: the ladder of domain adaptation, and the rungs that the paper lacks."""

from crosstask.experiments.studies.study import Row, Setting, Study, compute_matched
from crosstask.recipes.sets import S_D

# row: (architecture, method); a single-task row is one run per task
LADDER: dict[str, tuple[str, str]] = {
    "single_task-source": ("single_task", "source_only"),
    "multi_task-source": ("multi_task", "source_only"),
    "densemtl-source": ("densemtl", "source_only"),
    "single_task-oracle": ("single_task", "oracle"),
    "multi_task-oracle": ("multi_task", "oracle"),
    "densemtl-oracle": ("densemtl", "oracle"),
    "single_task-adversarial": ("single_task", "adversarial"),
    "multi_task-adversarial": ("multi_task", "adversarial"),
    "densemtl-adversarial": ("densemtl", "adversarial"),
    "multi_task_matched-adversarial": ("multi_task_matched", "adversarial"),
    "compute_matched-adversarial": ("multi_task_matched", "adversarial"),
    "single_task-self_training": ("single_task", "self_training"),
    "densemtl-self_training": ("densemtl", "self_training"),
    "densemtl-both": ("densemtl", "both"),
    "single_task-matched_self_training": ("single_task", "self_training"),
    "densemtl-matched_self_training": ("densemtl", "self_training"),
}
# What worked best so far: the sensor first, then a slow teacher (docs/results.md).
MATCHED: dict[str, object] = {
    "match_colors": True,
    "match_noise": True,
    "teacher_decay": 0.998,
    "pseudo_share": 0.2,
}


def ladder(setting: Setting, tasks: tuple[str, ...] = S_D) -> list[Row]:
    """Table 6: source only, target oracle, STL-UDA (the reference of delta), MTL-UDA and DenseMTL.

    Beyond the paper: DenseMTL without adaptation, the controls without an exchange, self-training
    alone, both together, and self-training on source images that have the target's colours and
    noise. The dataset is synthia_to_cityscapes, vkitti2_to_cityscapes or procedural.
    """
    return [
        Row(
            name=name,
            architecture=architecture,
            tasks=tasks,
            options=compute_matched(setting) if name.startswith("compute") else {},
            recipe_options={
                "method": method,
                **(MATCHED if name.endswith("matched_self_training") else {}),
            },
            apart=name.startswith("single_task"),
        )
        for name, (architecture, method) in LADDER.items()
    ]


TABLE6 = Study(
    name="table6",
    rows=ladder,
    regime="adaptation",
    baseline="single_task-adversarial",
)
