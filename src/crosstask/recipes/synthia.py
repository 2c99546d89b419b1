"""Recipes on SYNTHIA-RAND-CITYSCAPES."""

from typing import TYPE_CHECKING

from crosstask.recipes.cityscapes import PAPER
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


@recipe
def supervised(
    tasks: str = ",".join(S_D_N),
    classes: int = 16,
    canonical_focal: float | None = None,
    images: ReaderSettings = ReaderSettings(size="512x1024"),
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = PAPER,
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """SYNTHIA-RAND-CITYSCAPES with the paper's settings.

    DenseMTL, S-D-N, reached mIoU 0.8299, RMSE 4.056 m in the paper (Table 1), on a split
    that may have held training images, as the released loader's does; a clean split scores lower.

    Args:
        classes: 16 or 13.
    """
    from crosstask.data import Synthia, labels
    from crosstask.recipes.supervised import reader_experiment
    from crosstask.recipes.tasks import scene_tasks

    table, _ = labels.choose(labels.CITYSCAPES_TABLES, classes, "SYNTHIA-RAND-CITYSCAPES")
    return reader_experiment(
        Synthia,
        scene_tasks(table, canonical_focal=canonical_focal, protocol=supervision.protocol),
        name="synthia",
        tasks=tasks,
        reader_options={"classes": classes, "far": 80.0},
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )
