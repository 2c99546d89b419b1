"""Table 5 of DenseMTL: segmentation helped by depth that needs no labels."""

from crosstask.studies.study import S_D, Setting, StudyRun

# row: (architecture, tasks)
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "segmentation": ("single_task_matched", ("segmentation",)),
    "multi_task_matched": ("multi_task_matched", S_D),
    "threeways_padnet": ("threeways_padnet", S_D),
    "densemtl": ("densemtl", S_D),
}


def table5(setting: Setting) -> list[StudyRun]:
    """Table 5: segmentation with self-supervised depth under 3-ways PAD-Net and DenseMTL.

    Beyond the paper: segmentation alone and no exchange, with the same decoder and steps. The recipe
    is `<dataset>.self_supervised`: cityscapes (the paper) or procedural.
    """
    return [
        StudyRun(
            row=row,
            recipe=f"{setting.dataset}.self_supervised",
            options={"architecture": architecture, "tasks": ",".join(tasks)},
            seed=seed,
        )
        for seed in setting.seeds
        for row, (architecture, tasks) in ROWS.items()
    ]
