"""Three real, partly labelled sets in one network: no image has all labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.recipe import recipe_without
from crosstask.recipes.sets import S_D_N, S_D_N_E
from crosstask.recipes.settings import NetworkSettings, SupervisionSettings, TrainingSettings

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
    jitter: float = 0.5,
    network: NetworkSettings = NetworkSettings(encoder="tf_efficientnet_lite0", width=0.25),
    training: TrainingSettings = TrainingSettings(
        steps=6000,
        batch_size=6,
        optimizer="matched",
        lr=1e-3,
        encoder_lr=2e-4,
        val_every=500,
        val_batch_size=1,
    ),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Segmentation (S) from CamVid, depth and its surfaces (D-N) from 7-Scenes, edges (E) from BSDS500.

    Every batch holds images of all sets; each loss is normalised over the labelled pixels of its
    own task. Metrics are those of each task on the set that labels it.

    Args:
        root: folder with camvid/, sevenscenes/ and bsds500/.
        tasks: comma-separated, ordered; sets that teach none of them are left out.
    """
    from crosstask.data import labels, transforms
    from crosstask.recipes.supervised import supervised_experiment
    from crosstask.recipes.tasks import scene_tasks

    protocol = supervision.protocol
    available = scene_tasks(labels.CAMVID_11, near=0.2, far=10.0, protocol=protocol)
    chosen, wanted = choose_tasks(tasks, available), parse_size(size)
    asked = tuple(task.name for task in chosen)
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: mixture(
            root, "train", asked, transforms.training(wanted, jitter=jitter)
        ),
        val_data=lambda: mixture(root, "val", asked, transforms.evaluation(wanted)),
        size=size,
        network=network,
        training=training,
        supervision=supervision,
    )


def mixture(root: str | None, split: str, asked: tuple[str, ...], transform: Any) -> "Mixture":
    """The sets that teach some of the asked tasks, as one."""
    from crosstask.data import BSDS500, CamVid, Mixture, SevenScenes, labels

    folder = Path(needed_root(root, "real3"))
    parts: list[tuple[Any, float | None]] = []
    for reader in (CamVid, SevenScenes, BSDS500):
        own = tuple(name for name in asked if name in TEACHES[reader.source])
        if own:
            parts.append((reader(folder / reader.source, split, own, transform), None))
    classes = labels.CAMVID_11 if "segmentation" in asked else None
    return Mixture(parts, modalities=asked, classes=classes)
