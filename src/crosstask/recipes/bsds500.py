"""Recipes on BSDS500: edges of photographs, marked by several people."""

from dataclasses import replace
from typing import TYPE_CHECKING

from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.recipe import recipe_without
from crosstask.recipes.settings import (
    PHOTOGRAPHS,
    NetworkSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment


@recipe_without("val_batch_size")
def supervised(
    root: str | None = None,
    tasks: str = "edges",
    size: str = "320x320",
    zoom_min: float = 0.75,
    zoom_max: float = 1.5,
    flip: float | None = None,
    jitter: float = 0.5,
    network: NetworkSettings = NetworkSettings(
        architecture="fast", encoder="tf_efficientnet_lite0"
    ),
    training: TrainingSettings = replace(PHOTOGRAPHS, steps=4000, batch_size=8, val_batch_size=1),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """BSDS500: edges, trained on crops and scored on whole images; `evaluate --boundaries` gives ODS.

    Args:
        root: folder with data/images/ and data/groundTruth/.
        tasks: edges is what it labels.
        size: HEIGHTxWIDTH of training crops.
        zoom_min: least random zoom.
        flip: probability of a mirror image; 0.5 if left out.
        zoom_max: largest random zoom.
    """
    from crosstask.data import BSDS500
    from crosstask.recipes.building import training_transform
    from crosstask.recipes.supervised import supervised_experiment
    from crosstask.recipes.tasks import scene_tasks

    edges = scene_tasks(None, protocol=supervision.protocol)["edges"]
    chosen = choose_tasks(tasks, {"edges": edges})
    crops = training_transform(
        training,
        parse_size(size),
        chosen,
        scale=(zoom_min, zoom_max),
        flip=0.5 if flip is None else flip,
        jitter=jitter,
    )
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: BSDS500(needed_root(root, "bsds500"), "train", ("edges",), crops),
        val_data=lambda: BSDS500(needed_root(root, "bsds500"), "val", ("edges",)),
        size=size,
        network=network,
        training=training,
        supervision=supervision,
    )
