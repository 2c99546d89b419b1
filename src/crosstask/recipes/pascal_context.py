"""Recipes on PASCAL-Context, the second benchmark of SCA-MTL and its family."""

from typing import Any

from crosstask.data import PascalContext, labels
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.options import choose_tasks
from crosstask.recipes.published import as_published, with_published_losses
from crosstask.tasks import Edges, HumanParts, Normals, Saliency, Segmentation, Task

# About MTI-Net's 100 epochs in batches of 8.
_LENGTH = (60_000, 8)


def pascal_tasks(protocol: str = "correct") -> dict[str, Task]:
    """The five tasks, with DenseMTL's losses."""
    p: Any = protocol
    return {
        "segmentation": Segmentation(classes=labels.PASCAL_21, protocol=p),
        "human_parts": HumanParts(protocol=p),
        "saliency": Saliency(protocol=p),
        "normals": Normals(protocol=p),
        "edges": Edges(protocol=p),
    }


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,human_parts,saliency,normals,edges",
    size: str = "512x512",
    architecture: str = "sca_mtl",
    balancing: str = "paper",
    steps: int | None = None,
    batch_size: int | None = None,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """PASCAL-Context: segmentation, human parts, saliency, normals and edges.

    With `--architecture sca_mtl`, mti_net or atrc, losses, weights and, under `--optimizer paper`,
    optimiser, steps and batch are those of that paper; augmentation is not.

    Args:
        root: folder of PASCAL_MT; `crosstask data check pascal_context --root DIR` looks at it.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH.
        architecture: see `crosstask models`.
        balancing: paper (of the architecture's own paper), equal, uncertainty, ...
        steps: optimiser steps; if left out 60,000, or with `--optimizer paper` 31,237 for sca_mtl
            with segmentation and normals (100 epochs), 49,980 with segmentation, human parts and
            saliency (80 epochs), 62,475 for mti_net and other tasks (100 epochs), 40,000 for atrc.
        batch_size: images a batch; if left out 8, or with `--optimizer paper` 16 for sca_mtl with
            segmentation and normals.
        protocol: correct or released.
    """
    available = pascal_tasks(protocol)
    published = as_published(
        "pascal_context",
        architecture,
        choose_tasks(tasks, available),
        frames=PascalContext.official["train"],
        balancing=balancing,
        steps=steps,
        batch_size=batch_size,
        usual=_LENGTH,
        given=options,
    )
    options.update(published)  # the command line is read off `**options` below
    return reader_experiment(
        PascalContext,
        with_published_losses("pascal_context", architecture, available),
        name="pascal_context",
        root=root,
        tasks=tasks,
        size=size,
        architecture=architecture,
        protocol=protocol,
        **options,
    )
