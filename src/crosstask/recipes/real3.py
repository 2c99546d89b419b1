"""Three real, partly labelled sets in one network: no image has all labels."""

from pathlib import Path
from typing import Any

from crosstask.data import BSDS500, CamVid, Mixture, SevenScenes, labels, transforms
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import supervised_experiment
from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,depth,normals,edges",
    size: str = "192x256",
    encoder: str | None = "resnet18",
    pretrained: bool = True,
    width: float = 0.25,
    steps: int = 6000,
    batch_size: int = 6,
    optimizer: str = "matched",
    lr: float | None = 1e-3,
    jitter: float = 0.5,
    val_every: int = 500,
    seed: int = 0,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Segmentation from CamVid, depth and normals from 7-Scenes, edges from BSDS500.

    Every batch holds images of all sets; each loss is normalised over the labelled pixels of its
    own task. Metrics are those of each task on the set that labels it.

    Args:
        root: folder with camvid/, sevenscenes/ and bsds500/.
        tasks: comma-separated, ordered; sets that teach none of them are left out.
        size: HEIGHTxWIDTH of training images.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images a batch.
        optimizer: matched, paper, adam, adamw, sgd.
        lr: learning rate.
        jitter: probability of changed colours.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation.
        protocol: correct or released.
    """
    p: Any = protocol
    available: dict[str, Task] = {
        "segmentation": Segmentation(classes=labels.CAMVID_11, protocol=p),
        "depth": Depth(near=0.2, far=10.0, protocol=p),
        "normals": Normals(protocol=p),
        "edges": Edges(protocol=p),
    }
    chosen = choose_tasks(tasks, available)
    asked = tuple(task.name for task in chosen)
    teaches = {
        "camvid": ("segmentation",),
        "sevenscenes": ("depth", "normals"),
        "bsds500": ("edges",),
    }

    def mixture(split: str, transform: Any) -> Mixture:
        folder = Path(needed_root(root, "real3"))
        parts: list[tuple[Any, float | None]] = []
        for reader in (CamVid, SevenScenes, BSDS500):
            own = tuple(name for name in asked if name in teaches[reader.source])
            if own:
                place = folder / reader.source
                parts.append((reader(place, split, own, transform), None))
        return Mixture(
            parts, modalities=asked, classes=labels.CAMVID_11 if "segmentation" in asked else None
        )

    height_width = parse_size(size)
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: mixture("train", transforms.training(height_width, jitter=jitter)),
        val_data=lambda: mixture("val", transforms.evaluation(height_width)),
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        size=size,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        val_every=val_every,
        val_batch_size=1,
        seed=seed,
        protocol=protocol,
        **options,
    )
