"""Recipes on SYNTHIA-RAND-CITYSCAPES."""

from typing import Any

from crosstask.data import Synthia, labels
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import reader_experiment
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task


def synthia_tasks(
    classes: int = 16, protocol: str = "correct", canonical_focal: float | None = None
) -> dict[str, Task]:
    """Segmentation, depth (1e-3 to 80.0 m), normals and edges, as SYNTHIA-RAND-CITYSCAPES teaches them."""
    p: Any = protocol
    table, _ = labels.choose(labels.CITYSCAPES_TABLES, classes, "SYNTHIA-RAND-CITYSCAPES")
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
    """SYNTHIA-RAND-CITYSCAPES with the paper's settings.

    DenseMTL, S-D-N, reached mIoU 0.8299, RMSE 4.056 m in the paper (Table 1), on a split whose
    validation images were mostly training images too; a clean split scores lower.

    Args:
        root: folder of the dataset; `crosstask data check synthia --root DIR` looks at it.
        tasks: comma-separated, ordered.
        classes: 16 or 13.
        size: HEIGHTxWIDTH; the paper's.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        steps: optimiser steps.
        batch_size: images a batch.
        protocol: correct or released.
    """
    return reader_experiment(
        Synthia,
        synthia_tasks(classes, protocol, canonical_focal),
        name="synthia",
        root=root,
        tasks=tasks,
        size=size,
        steps=steps,
        batch_size=batch_size,
        protocol=protocol,
        reader_options={"classes": classes, "far": 80.0},
        **options,
    )
