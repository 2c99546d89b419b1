"""Recipes on PASCAL-Context, the second benchmark of SCA-MTL and its family."""

from typing import TYPE_CHECKING, Any

from crosstask.recipes.recipe import recipe
from crosstask.recipes.sets import S_P_SAL_N_E
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task

# About MTI-Net's 100 epochs in batches of 8.
_LENGTH = (60_000, 8)


def pascal_tasks(protocol: str = "correct") -> "dict[str, Task]":
    """The five tasks, with DenseMTL's losses."""
    from crosstask.data import labels
    from crosstask.recipes.tasks import by_name
    from crosstask.tasks import Edges, HumanParts, Normals, Saliency, Segmentation

    p: Any = protocol
    return by_name(
        Segmentation(classes=labels.PASCAL_21, protocol=p),
        HumanParts(protocol=p),
        Saliency(protocol=p),
        Normals(protocol=p),
        Edges(protocol=p),
    )


@recipe
def supervised(
    tasks: str = ",".join(S_P_SAL_N_E),
    images: ReaderSettings = ReaderSettings(size="512x512"),
    network: NetworkSettings = NetworkSettings(architecture="sca_mtl"),
    training: TrainingSettings = TrainingSettings(steps=None, batch_size=None),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """PASCAL-Context: S, human parts (P), saliency (Sal), N and E.

    With `--architecture sca_mtl`, mti_net or atrc, losses, weights and, under `--optimizer paper`,
    optimiser, steps and batch are those of that paper; augmentation is not.

    Args:
        root: folder of PASCAL_MT; `crosstask data check pascal_context --root DIR` looks at it.
        steps: optimiser steps; if left out 60,000, or with `--optimizer paper` 31,237 for sca_mtl
            with S-N (100 epochs), 49,980 with S-P-Sal (80 epochs), 62,475 for mti_net and other
            tasks (100 epochs), 40,000 for atrc.
        batch_size: images a batch; if left out 8, or with `--optimizer paper` 16 for sca_mtl with S-N.
    """
    from crosstask.data import PascalContext
    from crosstask.recipes.supervised import reader_experiment

    return reader_experiment(
        PascalContext,
        pascal_tasks(supervision.protocol),
        name="pascal_context",
        tasks=tasks,
        usual=_LENGTH,
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )
