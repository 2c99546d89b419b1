"""Recipes on NYUDv2."""

from typing import TYPE_CHECKING

from crosstask.recipes.recipe import recipe
from crosstask.recipes.sets import S_D_N
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task

# Steps and batch of DenseMTL's paper.
_LENGTH = (40_000, 2)


def nyudv2_tasks(
    classes: int = 40, protocol: str = "correct", canonical_focal: float | None = None
) -> "dict[str, Task]":
    """The four tasks on NYUDv2, with DenseMTL's losses."""
    from crosstask.data import labels
    from crosstask.recipes.tasks import scene_tasks

    table, _ = labels.choose(labels.NYU_TABLES, classes, "NYUDv2")
    return scene_tasks(table, far=10.0, canonical_focal=canonical_focal, protocol=protocol)


@recipe
def supervised(
    tasks: str = ",".join(S_D_N),
    classes: int = 40,
    canonical_focal: float | None = None,
    images: ReaderSettings = ReaderSettings(size="448x576"),
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = TrainingSettings(steps=None, batch_size=None),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """NYUDv2 with the paper's settings: 40 classes, 576x448, 795/654 frames.

    DenseMTL, S-D-N-E, reached mIoU 0.4084, RMSE 0.593 m, 33.38 degrees in the paper (Table 2).
    With `--architecture sca_mtl`, mti_net or atrc, losses, weights and, under `--optimizer paper`,
    optimiser, steps and batch are those of that paper; size and augmentation are not.

    Args:
        classes: 40 or 13.
        steps: optimiser steps; if left out 40,000, or with `--optimizer paper` 7,950 for sca_mtl
            and 9,937 for mti_net (100 epochs).
        batch_size: images a batch; if left out 2, or with `--optimizer paper` 10 for sca_mtl and
            8 for mti_net and atrc.
    """
    from crosstask.data import NYUDv2
    from crosstask.recipes.supervised import reader_experiment

    return reader_experiment(
        NYUDv2,
        nyudv2_tasks(classes, supervision.protocol, canonical_focal),
        name="nyudv2",
        tasks=tasks,
        reader_options={"classes": classes},
        usual=_LENGTH,
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )
