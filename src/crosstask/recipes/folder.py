"""Recipes on a user's own folder of images and labels."""

from typing import TYPE_CHECKING, Any

from crosstask.recipes.options import needed_root, parse_names
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import ClassTable, Task


def folder_tasks(
    classes: "ClassTable | None",
    near: float,
    far: float,
    canonical_focal: float | None,
    protocol: str,
) -> "dict[str, Task]":
    """The tasks that the folder's own labels can teach."""
    from crosstask.recipes.tasks import scene_tasks
    from crosstask.tasks import Saliency

    p: Any = protocol
    tasks = scene_tasks(
        classes,
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
    depth_scale: float | None = None,
    depth_kind: str | None = None,
    masks: str | None = None,
    void: int | None = None,
    channels: str | None = None,
    canonical_focal: float | None = None,
    dataset: str = "folder",
    images: ReaderSettings = ReaderSettings(size="256x512", fit="keep", score_at="native"),
    network: NetworkSettings = NetworkSettings(
        architecture="fast", encoder="tf_efficientnet_lite0"
    ),
    training: TrainingSettings = TrainingSettings(
        steps=10_000, batch_size=4, optimizer="matched", encoder_lr=2e-4
    ),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Your own images, with whatever labels you have (see `crosstask.data.FolderDataset`).

    Files that lie otherwise are read by a class of yours, `--dataset mine.py:MySet`.

    Args:
        near: least depth in metres.
        far: largest depth in metres; labels beyond are void.
        depth_scale: units a metre of depth PNGs; if left out as folder.yaml says, else 1000, millimetres.
        depth_kind: z for depth along the optical axis, ray for distances from the camera; if left out as
            folder.yaml says, else z.
        masks: how segmentation/ is stored: ids, ids_from_1 (0 is unlabelled), colors (those of classes.txt), binary (0 and 255 of
            two classes), or auto, which looks; if left out as folder.yaml says, else auto; `data check` tells what it found.
        void: stored id of unlabelled pixels of segmentation/; if left out as folder.yaml says, else 255.
        channels: what images consist of, such as thermal, or red,green,blue,depth with depth_input/;
            NAME=LOW..HIGH has files of its own, NAME_input/, of these values (depth: metres); if left out
            as folder.yaml says, else red,green,blue.
        dataset: folder, another name of `crosstask data list`, or FILE.py:NAME, a class of
            `crosstask.data.SceneDataset`.
        root: folder with images/ and a folder of each label that you have, named as its task.
    """
    from crosstask.data.datasets.catalogue import find_reader, own_options
    from crosstask.data.shards import open_split
    from crosstask.recipes.supervised import reader_experiment

    reader: Any = find_reader(dataset)
    place = needed_root(images.root, reader.source)
    stored = {
        "depth_scale": depth_scale,
        "depth_kind": depth_kind,
        "masks": masks,
        "void": void,
        "channels": channels,
    }
    options = {"far": far, **taken(stored, own_options(reader), reader.__name__)}
    opened = open_split(reader, place, reader.splits[0], needing_classes(tasks), **options)
    return reader_experiment(
        reader,
        folder_tasks(opened.classes, near, far, canonical_focal, supervision.protocol),
        name=reader.source,
        channels=opened.channels,
        tasks=tasks,
        reader_options=options,
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )


def needing_classes(tasks: str) -> tuple[str, ...]:
    """Of these tasks those that classes are declared for: read, a set without classes says what to do."""
    return tuple(name for name in parse_names(tasks) if name == "segmentation")


def taken(given: dict[str, Any], options: dict[str, Any], reader: str) -> dict[str, Any]:
    """How labels are stored, where it is said (else the folder's own word, or the reader's default, counts).

    Raises:
        ValueError: the reader would leave one unread, and it is not as usual (runs of old wrote usual ones down).
    """
    from crosstask.engine.runs import STORED_AS_USUAL

    said = {name: value for name, value in given.items() if value is not None}
    for name, value in said.items():
        if name not in options and value != STORED_AS_USUAL[name]:
            raise ValueError(
                f"`{name}` is {value!r}, which {reader} has no option for; leave it out"
            )
    return {name: value for name, value in said.items() if name in options}
