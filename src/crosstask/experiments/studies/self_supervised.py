"""Table 5 of DenseMTL: segmentation helped by depth that needs no labels."""

from crosstask.experiments.studies.study import Row, Setting, Study, compute_matched
from crosstask.recipes.sets import S_D

# row: (architecture, tasks)
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "segmentation": ("single_task_matched", ("segmentation",)),
    "multi_task_matched": ("multi_task_matched", S_D),
    "compute_matched": ("multi_task_matched", S_D),
    "threeways_padnet": ("threeways_padnet", S_D),
    "densemtl": ("densemtl", S_D),
}


def table5(setting: Setting) -> list[Row]:
    """Table 5: segmentation with self-supervised depth under 3-ways PAD-Net and DenseMTL.

    Beyond the paper: segmentation alone, no exchange, and no exchange at DenseMTL's cost, with the
    same kind of decoder and the same steps. The recipe is `<dataset>.self_supervised`: cityscapes
    (the paper) or procedural.
    """
    return [
        Row(
            name=name,
            architecture=architecture,
            tasks=tasks,
            options=compute_matched(setting) if name == "compute_matched" else {},
        )
        for name, (architecture, tasks) in ROWS.items()
    ]


TABLE5 = Study(
    name="table5",
    rows=table5,
    regime="self_supervised",
    optimizer="paper_self_supervised",
    baseline="none",
)
