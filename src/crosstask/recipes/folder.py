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
    depth_scale: float = 1000.0,
    depth_kind: str = "z",
    masks: str = "auto",
    void: int = 255,
    channels: str = "red,green,blue",
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
        depth_scale: units a metre of depth PNGs: 1000 for millimetres.
        depth_kind: z for depth along the optical axis, ray for distances from the camera.
        masks: how segmentation/ is stored: ids, ids_from_1 (0 is unlabelled), colors (those of classes.txt), binary (0 and 255 of
            two classes), or auto, which looks; `data check` tells what it found.
        void: stored id of unlabelled pixels of segmentation/.
        channels: what images consist of, such as thermal, or red,green,blue,depth with depth_input/;
            NAME=LOW..HIGH has files of its own, NAME_input/, of these values (depth: metres).
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
    """How labels are stored, where it is not as usual (then the reader's own default, or the folder's
    own word, counts); what a reader would leave unread is refused."""
    usual = {"depth_scale": 1000.0, "depth_kind": "z", "masks": "auto", "void": 255}
    usual["channels"] = "red,green,blue"
    unusual = {name: value for name, value in given.items() if value != usual[name]}
    for name, value in unusual.items():
        if name not in options:
            raise ValueError(
                f"`{name}` is {value!r}, which {reader} has no option for; leave it out"
            )
    return unusual
