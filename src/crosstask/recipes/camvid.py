"""Recipes on CamVid: 367 labelled street photographs, 11 classes, edges from label boundaries."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    PHOTOGRAPHS,
    NetworkSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task


def camvid_tasks(names: str, protocol: str = "correct") -> "tuple[Task, ...]":
    """Some of segmentation (11 classes) and edges."""
    from crosstask.data import labels
    from crosstask.recipes.tasks import scene_tasks

    tasks = scene_tasks(labels.CAMVID_11, protocol=protocol)
    return choose_tasks(names, {name: tasks[name] for name in ("segmentation", "edges")})


@recipe
def supervised(
    root: str | None = None,
    tasks: str = "segmentation,edges",
    size: str = "352x480",
    zoom_min: float = 0.75,
    zoom_max: float = 1.75,
    flip: float | None = None,
    jitter: float = 0.5,
    network: NetworkSettings = NetworkSettings(encoder="tf_efficientnet_lite0", width=0.5),
    training: TrainingSettings = replace(PHOTOGRAPHS, steps=10_000, batch_size=8),
    supervision: SupervisionSettings = SupervisionSettings(class_weights="auto"),
) -> "Experiment":
    """CamVid (SegNet's edition): segmentation with 11 classes and semantic edges.

    Trained on crops of randomly scaled images, scored at the labels' own 360x480.

    Args:
        root: folder with train/, trainannot/, val/, valannot/.
        size: HEIGHTxWIDTH of training crops; validation images are resized to it.
        zoom_min: least random zoom.
        flip: probability of a mirror image; 0.5 if left out.
    """
    from crosstask.data import CamVid, transforms
    from crosstask.data.shards import open_split
    from crosstask.recipes.building import training_transform
    from crosstask.recipes.supervised import supervised_experiment

    chosen = camvid_tasks(tasks, supervision.protocol)
    modalities = tuple(task.name for task in chosen)
    train = training_transform(
        training,
        parse_size(size),
        chosen,
        scale=(zoom_min, zoom_max),
        flip=0.5 if flip is None else flip,
        jitter=jitter,
    )
    val = transforms.evaluation(parse_size(size), targets="native")

    def opened(split: str, transform: Any) -> Any:
        return open_split(CamVid, needed_root(root, "camvid"), split, modalities, transform)

    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: opened("train", train),
        val_data=lambda: opened("val", val),
        size=size,
        network=network,
        training=training,
        supervision=supervision,
    )
