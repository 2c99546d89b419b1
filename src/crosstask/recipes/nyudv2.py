"""Recipes on NYUDv2."""

from typing import Any

from crosstask.data import NYUDv2, labels
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.options import choose_tasks
from crosstask.recipes.published import as_published, with_published_losses
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task

# Steps and batch of DenseMTL's paper.
_LENGTH = (40_000, 2)


def nyudv2_tasks(
    classes: int = 40, protocol: str = "correct", canonical_focal: float | None = None
) -> dict[str, Task]:
    """The four tasks on NYUDv2, with DenseMTL's losses."""
    p: Any = protocol
    table, _ = labels.choose(labels.NYU_TABLES, classes, "NYUDv2")
    return {
        "segmentation": Segmentation(classes=table, protocol=p),
        "depth": Depth(near=1e-3, far=10.0, canonical_focal=canonical_focal, protocol=p),
        "normals": Normals(protocol=p),
        "edges": Edges(protocol=p),
    }


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,depth,normals",
    classes: int = 40,
    size: str = "448x576",
    architecture: str = "densemtl",
    canonical_focal: float | None = None,
    balancing: str = "paper",
    steps: int | None = None,
    batch_size: int | None = None,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """NYUDv2 with the paper's settings: 40 classes, 576x448, 795/654 frames.

    DenseMTL, S-D-N-E, reached mIoU 0.4084, RMSE 0.593 m, 33.38 degrees in the paper (Table 2).
    With `--architecture sca_mtl`, mti_net or atrc, losses, weights and, under `--optimizer paper`,
    optimiser, steps and batch are those of that paper; size and augmentation are not.

    Args:
        root: folder of the dataset; `crosstask data check nyudv2 --root DIR` looks at it.
        tasks: comma-separated, ordered.
        classes: 40 or 13.
        size: HEIGHTxWIDTH; the paper's.
        architecture: see `crosstask models`.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        balancing: paper (of the architecture's own paper), equal, uncertainty, ...
        steps: optimiser steps; if left out 40,000, or with `--optimizer paper` 7,950 for sca_mtl
            and 9,937 for mti_net (100 epochs).
        batch_size: images a batch; if left out 2, or with `--optimizer paper` 10 for sca_mtl and
            8 for mti_net and atrc.
        protocol: correct or released.
    """
    available = nyudv2_tasks(classes, protocol, canonical_focal)
    published = as_published(
        "nyudv2",
        architecture,
        choose_tasks(tasks, available),
        frames=NYUDv2.official["train"],
        balancing=balancing,
        steps=steps,
        batch_size=batch_size,
        usual=_LENGTH,
        given=options,
    )
    options.update(published)  # the command line is read off `**options` below
    return reader_experiment(
        NYUDv2,
        with_published_losses("nyudv2", architecture, available),
        name="nyudv2",
        root=root,
        tasks=tasks,
        size=size,
        architecture=architecture,
        protocol=protocol,
        reader_options={"classes": classes},
        **options,
    )
