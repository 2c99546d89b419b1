"""Recipes on data sets of the library `datasets`."""

import sys
from typing import TYPE_CHECKING

from crosstask.recipes.folder import folder_tasks, needing_classes, taken
from crosstask.recipes.options import needed_root
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.data import HubDataset, SceneDataset
    from crosstask.engine.experiment import Experiment


@recipe
def supervised(
    tasks: str = "auto",
    columns: str | None = None,
    classes: str | None = None,
    configuration: str | None = None,
    near: float = 0.1,
    far: float = 80.0,
    depth_scale: float | None = None,
    depth_kind: str | None = None,
    masks: str | None = None,
    void: int | None = None,
    channels: str | None = None,
    canonical_focal: float | None = None,
    images: ReaderSettings = ReaderSettings(size="256x512", fit="keep", score_at="native"),
    network: NetworkSettings = NetworkSettings(
        architecture="fast", encoder="tf_efficientnet_lite0"
    ),
    training: TrainingSettings = TrainingSettings(
        steps=10_000, batch_size=4, optimizer="matched", encoder_lr=2e-4
    ),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """A data set of the library `datasets`, with whatever labels it has (see `crosstask.data.HubDataset`).

    Args:
        tasks: names with commas; auto is those that have a column.
        columns: where things are, image=photo,segmentation=mask,depth=depth_m; also other tasks,
            intrinsics. Left out, columns with usual names are taken, and named.
        classes: names with commas, their number, a file of them, or the column that has class names;
            those of the masks' column if left out.
        configuration: of a set that has several.
        near: least depth in metres.
        far: largest depth in metres; labels beyond are void.
        depth_scale: units a metre of depth stored as integers: 1000 for millimetres; needed for them.
        depth_kind: z (if left out) for depth along the optical axis, ray for distances from the camera.
        masks: how segmentation is stored: ids, ids_from_1 (0 is unlabelled), colors (of a file of classes), binary (0 and 255 of two
            classes), or auto (if left out), which looks; `data check` tells what it found.
        void: stored id of unlabelled pixels of segmentation, 255 if left out.
        channels: what images consist of, such as thermal, or red,green,blue,depth with a column
            depth_input; red,green,blue if left out.
        root: folder of save_to_disk, a .parquet or .arrow file, or owner/name of the hub.
    """
    from crosstask.data import HubDataset
    from crosstask.data.datasets.catalogue import own_options
    from crosstask.data.shards import is_packed, open_split
    from crosstask.recipes.supervised import reader_experiment

    place = needed_root(images.root, HubDataset.source)
    stored = {"depth_kind": depth_kind, "masks": masks, "void": void, "channels": channels}
    told = {
        "columns": columns,
        "classes": classes,
        "configuration": configuration,
        "depth_scale": depth_scale,
    }
    own = {name: value for name, value in told.items() if value is not None}
    own |= taken(stored, own_options(HubDataset), HubDataset.__name__)
    read = None if tasks == "auto" else needing_classes(tasks)
    opened = open_split(HubDataset, place, "train" if is_packed(place) else "all", read, **own)
    if columns is None and isinstance(opened, HubDataset):
        _tell(opened)
    return reader_experiment(
        HubDataset,
        folder_tasks(opened.classes, near, far, canonical_focal, supervision.protocol),
        name=HubDataset.source,
        channels=opened.channels,
        tasks=_labelled(opened) if tasks == "auto" else tasks,
        reader_options={"far": far, **own},
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )


def _labelled(opened: "SceneDataset") -> str:
    """The tasks that have labels of their own.

    Raises:
        DataError: there are none.
    """
    from crosstask.data import DataError

    found = [name for name in opened.available() if name not in opened.derivations()]
    if not found:
        raise DataError(
            f"`root` holds no label of a usual name: {opened.requirement('segmentation')}"
        )
    return ",".join(found)


def _tell(opened: "HubDataset") -> None:
    found = ",".join(f"{kind}={column}" for kind, column in opened.columns.items())
    print(f"columns by their names: {found} (others with --columns)", file=sys.stderr)
