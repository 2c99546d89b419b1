"""Recipes on NYUDv2."""

from collections.abc import Sequence
from typing import Any

from crosstask.data import NYUDv2, labels
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.experiment import Experiment
from crosstask.recipes.options import choose_tasks
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task, family_weights

# Architectures whose papers train with L1 depth, L1 normals and binary edges.
FAMILY = ("sca_mtl", "mti_net", "mti_xtam", "atrc")


def family_balancing(balancing: str, architecture: str, tasks: Sequence[Task]) -> str:
    """The family's own task weights (S 1, D 1, N 10, E 50, ...) where "paper" is asked for."""
    if balancing != "paper" or architecture not in FAMILY:
        return balancing
    weights = family_weights(tasks)
    return "fixed:" + ",".join(f"{name}={weight:g}" for name, weight in weights.items())


def nyudv2_tasks(
    classes: int = 40,
    protocol: str = "correct",
    canonical_focal: float | None = None,
    family: bool = False,
) -> dict[str, Task]:
    """The four tasks on NYUDv2; `family`: with the losses of SCA-MTL, MTI-Net and ATRC."""
    p: Any = protocol
    table, _ = labels.choose(labels.NYU_TABLES, classes, "NYUDv2")
    return {
        "segmentation": Segmentation(classes=table, protocol=p),
        "depth": Depth(
            "l1" if family else "berhu_inverse",
            near=1e-3,
            far=10.0,
            canonical_focal=canonical_focal,
            protocol=p,
        ),
        "normals": Normals(objective="l1" if family else "cosine", protocol=p),
        "edges": Edges(logits=1 if family else 2, protocol=p),
    }


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,depth,normals",
    classes: int = 40,
    size: str = "448x576",
    architecture: str = "densemtl",
    canonical_focal: float | None = None,
    balancing: str = "paper",
    steps: int = 40_000,
    batch_size: int = 2,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """NYUDv2 with the paper's settings: 40 classes, 576x448, 795/654 frames.

    DenseMTL, S-D-N-E, reached mIoU 0.4084, RMSE 0.593 m, 33.38 degrees in the paper (Table 2).
    With `--architecture sca_mtl` the losses are that paper's: L1 depth, one-logit edges.

    Args:
        root: folder of the dataset; `crosstask data check nyudv2 --root DIR` looks at it.
        tasks: comma-separated, ordered.
        classes: 40 or 13.
        size: HEIGHTxWIDTH; the paper's.
        architecture: see `crosstask models`.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        balancing: paper (of the architecture's own paper), equal, uncertainty, ...
        steps: optimiser steps.
        batch_size: pictures a batch.
        protocol: correct or released.
    """
    available = nyudv2_tasks(classes, protocol, canonical_focal, architecture in FAMILY)
    chosen = choose_tasks(tasks, available)
    return reader_experiment(
        NYUDv2,
        available,
        name="nyudv2",
        root=root,
        tasks=tasks,
        size=size,
        architecture=architecture,
        balancing=family_balancing(balancing, architecture, chosen),
        steps=steps,
        batch_size=batch_size,
        protocol=protocol,
        reader_options={"classes": classes},
        **options,
    )
