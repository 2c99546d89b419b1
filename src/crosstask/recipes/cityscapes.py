"""Recipes on Cityscapes."""

from typing import Any

from crosstask.data import Cityscapes, labels
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.cityscapes_self_supervised import self_supervised as self_supervised
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task


def cityscapes_tasks(
    classes: int = 16, protocol: str = "correct", canonical_focal: float | None = None
) -> dict[str, Task]:
    """Segmentation, depth (1e-3 to 80.0 m), normals and edges, as Cityscapes teaches them."""
    p: Any = protocol
    table, _ = labels.choose(labels.CITYSCAPES_TABLES, classes, "Cityscapes")
    return {
        "segmentation": Segmentation(classes=table, protocol=p),
        "depth": Depth(near=1e-3, far=80.0, canonical_focal=canonical_focal, protocol=p),
        "normals": Normals(protocol=p),
        "edges": Edges(protocol=p),
    }


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,depth,normals",
    classes: int = 16,
    size: str = "512x1024",
    canonical_focal: float | None = None,
    steps: int = 40_000,
    batch_size: int = 2,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Cityscapes with the paper's settings: 16 classes, 1024x512, batch 2, 40,000 steps.

    DenseMTL, S-D-N, reached mIoU 0.761 (approximately), RMSE 6.407 m in the paper (Table 1).

    Args:
        root: folder of the dataset; `crosstask data check cityscapes --root DIR` looks at it.
        tasks: comma-separated, ordered.
        classes: 19, 16, 13, 8 or 7.
        size: HEIGHTxWIDTH; the paper's.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        steps: optimiser steps.
        batch_size: images a batch.
        protocol: correct or released.
    """
    return reader_experiment(
        Cityscapes,
        cityscapes_tasks(classes, protocol, canonical_focal),
        name="cityscapes",
        root=root,
        tasks=tasks,
        size=size,
        steps=steps,
        batch_size=batch_size,
        protocol=protocol,
        reader_options={"classes": classes, "far": 80.0},
        **options,
    )
