"""Three real, partly labelled sets in one network: no image has all labels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.recipe import recipe_without
from crosstask.recipes.sets import S_D_N, S_D_N_E
from crosstask.recipes.settings import (
    PHOTOGRAPHS,
    NetworkSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.data import Mixture
    from crosstask.engine.experiment import Experiment

# What each set teaches.
TEACHES = {
    "camvid": ("segmentation",),
    "sevenscenes": S_D_N[1:],
    "bsds500": ("edges",),
}


@recipe_without("val_batch_size")
def supervised(
    root: str | None = None,
    tasks: str = ",".join(S_D_N_E),
    size: str = "192x256",
    zoom_min: float | None = None,
    zoom_max: float | None = None,
    flip: float | None = None,
    jitter: float = 0.5,
    value_range: str = "auto",
    sampling: Literal["tasks", "sets", "images"] | None = None,
    network: NetworkSettings = NetworkSettings(encoder="tf_efficientnet_lite0", width=0.25),
    training: TrainingSettings = replace(PHOTOGRAPHS, steps=6000, batch_size=6, val_batch_size=1),
    supervision: SupervisionSettings = SupervisionSettings(class_weights="auto"),
) -> "Experiment":
    """Segmentation (S) from CamVid, depth and its surfaces (D-N) from 7-Scenes, edges (E) from BSDS500.

    Every batch holds images of all sets; each loss is normalised over the labelled pixels of its
    own task. Metrics are those of each task on the set that labels it.

    Args:
        root: folder with camvid/, sevenscenes/ and bsds500/.
        tasks: comma-separated, ordered; sets that teach none of them are left out.
        flip: probability of a mirror image; 0.5 if left out.
        sampling: how often images of a set are drawn: tasks (in proportion to the tasks that it
            teaches; also if left out), sets (all alike: every task sees the same number of images), images (in
            proportion to its size).
    """
    from crosstask.data import labels, transforms
    from crosstask.recipes.building import training_transform
    from crosstask.recipes.supervised import supervised_experiment
    from crosstask.recipes.tasks import scene_tasks

    protocol = supervision.protocol
    available = scene_tasks(labels.CAMVID_11, near=0.2, far=10.0, protocol=protocol)
    chosen, wanted = choose_tasks(tasks, available), parse_size(size)
    asked = tuple(task.name for task in chosen)
    scale = None if zoom_min is None and zoom_max is None else (zoom_min or 1.0, zoom_max or 1.0)
    changed = training_transform(
        training, wanted, chosen, scale=scale, flip=0.5 if flip is None else flip, jitter=jitter
    )
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: mixture(root, "train", asked, changed, sampling, value_range),
        val_data=lambda: mixture(
            root, "val", asked, transforms.evaluation(wanted), value_range=value_range
        ),
        size=size,
        network=network,
        training=training,
        supervision=supervision,
    )


def mixture(
    root: str | None,
    split: str,
    asked: tuple[str, ...],
    transform: Any,
    sampling: str | None = None,
    value_range: str = "auto",
) -> "Mixture":
    """The sets that teach some of the asked tasks, as one.

    Args:
        sampling: see `supervised`.
        value_range: of the images of all sets.
    """
    from crosstask.data import BSDS500, CamVid, Mixture, SevenScenes, labels

    folder = Path(needed_root(root, "real3"))
    weight: dict[str, Callable[[Any], float | None]]
    weight = {"tasks": lambda part: None, "sets": lambda part: 1.0, "images": len}
    chosen = sampling or "tasks"
    if chosen not in weight:
        raise ValueError(f"`sampling` is {sampling!r}; expected {', '.join(weight)}")
    parts: list[tuple[Any, float | None]] = []
    for reader in (CamVid, SevenScenes, BSDS500):
        own = tuple(name for name in asked if name in TEACHES[reader.source])
        if own:
            place = folder / reader.source
            part = reader(place, split, own, transform, value_range=value_range)
            parts.append((part, weight[chosen](part)))
    classes = labels.CAMVID_11 if "segmentation" in asked else None
    return Mixture(parts, modalities=asked, classes=classes)
