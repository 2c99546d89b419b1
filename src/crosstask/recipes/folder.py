"""Recipes on a user's own folder of images and labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstask.recipes.options import needed_root
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task


def folder_tasks(
    root: str, near: float, far: float, canonical_focal: float | None, protocol: str
) -> "dict[str, Task]":
    """The tasks that the folder's own labels can teach."""
    from crosstask.data import FolderDataset
    from crosstask.recipes.tasks import scene_tasks
    from crosstask.tasks import Saliency

    p: Any = protocol
    tasks = scene_tasks(
        FolderDataset(root, "all", ()).classes,
        near=near,
        far=far,
        canonical_focal=canonical_focal,
        protocol=protocol,
    )
    return {**tasks, "saliency": Saliency(protocol=p)}


@recipe
def supervised(
    tasks: str = "segmentation,depth",
    near: float = 0.1,
    far: float = 80.0,
    depth_scale: float = 1000.0,
    masks: str = "auto",
    void: int = 255,
    canonical_focal: float | None = None,
    images: ReaderSettings = ReaderSettings(size="256x512"),
    network: NetworkSettings = NetworkSettings(encoder="resnet18", width=0.5),
    training: TrainingSettings = TrainingSettings(steps=10_000, batch_size=4, optimizer="matched"),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Your own images, with whatever labels you have (see `crosstask.data.FolderDataset`).

    Args:
        near: least depth in metres.
        far: largest depth in metres; labels beyond are void.
        depth_scale: units a metre of depth PNGs: 1000 for millimetres.
        masks: how segmentation/ is stored: ids, colors (those of classes.txt), binary (0 and 255 of
            two classes), or auto, which looks; `data check` tells what it found.
        void: stored id of unlabelled pixels of segmentation/.
        root: folder with images/ and a folder of each label that you have, named as its task.
    """
    from crosstask.data import FolderDataset
    from crosstask.recipes.supervised import reader_experiment

    place = needed_root(images.root, "folder")
    return reader_experiment(
        FolderDataset,
        folder_tasks(str(Path(place)), near, far, canonical_focal, supervision.protocol),
        name="folder",
        tasks=tasks,
        reader_options={
            "depth_scale": depth_scale,
            "far": far,
            "masks": masks,
            "void": void,
        },
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )
