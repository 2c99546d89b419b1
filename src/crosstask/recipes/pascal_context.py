"""Recipes on PASCAL-Context, the second benchmark of SCA-MTL and its family."""

from typing import Any

from crosstask.data import PascalContext, labels
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.experiment import Experiment
from crosstask.recipes.nyudv2 import FAMILY, family_balancing
from crosstask.recipes.options import choose_tasks
from crosstask.tasks import Edges, HumanParts, Normals, Saliency, Segmentation, Task


def pascal_tasks(protocol: str = "correct", family: bool = True) -> dict[str, Task]:
    """The five tasks; `family`: with the losses of SCA-MTL, MTI-Net and ATRC."""
    p: Any = protocol
    return {
        "segmentation": Segmentation(classes=labels.PASCAL_21, protocol=p),
        "human_parts": HumanParts(protocol=p),
        "saliency": Saliency(protocol=p),
        "normals": Normals(objective="l1" if family else "cosine", protocol=p),
        "edges": Edges(logits=1 if family else 2, protocol=p),
    }


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,human_parts,saliency,normals,edges",
    size: str = "512x512",
    architecture: str = "sca_mtl",
    balancing: str = "paper",
    steps: int = 60_000,
    batch_size: int = 8,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """PASCAL-Context: segmentation, human parts, saliency, normals and edges.

    Args:
        root: folder of PASCAL_MT; `crosstask data check pascal_context --root DIR` looks at it.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH.
        architecture: see `crosstask models`.
        balancing: paper (of the architecture's own paper), equal, uncertainty, ...
        steps: optimiser steps.
        batch_size: pictures a batch.
        protocol: correct or released.
    """
    available = pascal_tasks(protocol, architecture in FAMILY)
    return reader_experiment(
        PascalContext,
        available,
        name="pascal_context",
        root=root,
        tasks=tasks,
        size=size,
        architecture=architecture,
        balancing=family_balancing(balancing, architecture, choose_tasks(tasks, available)),
        steps=steps,
        batch_size=batch_size,
        protocol=protocol,
        **options,
    )
