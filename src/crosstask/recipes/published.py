"""What the papers of SCA-MTL, MTI-Net and ATRC set on NYUDv2 and PASCAL-Context.

The facts are fields of the architectures (`papers`); here they become options of a recipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crosstask.models.architectures.architecture import PaperSetting
from crosstask.models.registry import Given, find_architecture
from crosstask.recipes.settings import NetworkSettings, TrainingSettings, filled
from crosstask.tasks import Task, family_weights


def with_published_losses(
    dataset: str, architecture: Given, tasks: Mapping[str, Task]
) -> dict[str, Task]:
    """The tasks with the losses of the architecture's paper."""
    found = find_architecture(architecture)
    paper = found.paper_on(dataset, [type(task).__name__ for task in tasks.values()])
    return {
        name: replace(task, **_loss_options(task, found.losses, paper.losses if paper else {}))
        for name, task in tasks.items()
    }


def as_published(
    dataset: str,
    tasks: Sequence[Task],
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    frames: int,
    usual: tuple[int, int],
) -> tuple[NetworkSettings, TrainingSettings]:
    """The settings; what the user left open is as in the architecture's paper.

    Args:
        dataset: nyudv2 or pascal_context.
        training: balancing "paper" becomes the paper's weights; steps and batch_size that are None
            become the paper's under `optimizer` "paper", else the usual.
        frames: of the training split.
        usual: steps and images a batch of other architectures and optimisers.

    Returns:
        network with the paper's options, training with its weights, length and rate.
    """
    kinds = [type(task).__name__ for task in tasks]
    found = find_architecture(network.name(tasks))
    setting = found.paper_on(dataset, kinds, network.encoder)
    if setting is None:
        return network, filled(training, steps=usual[0], batch_size=usual[1])
    options = dict(setting.options)
    if setting.weighted_auxiliary:
        options["auxiliary_weights"] = family_weights(tasks)
    if options:
        network = replace(network, options=options | (network.options or {}))
    length = usual
    if training.optimizer == "paper":
        length = _length(setting, frames)
        training = filled(training, lr=setting.lr)
    training = filled(training, steps=length[0], batch_size=length[1])
    if training.balancing == "paper":
        training = replace(training, balancing=_fixed(published_weights(setting, tasks)))
    return network, training


def published_weights(setting: PaperSetting, tasks: Sequence[Task]) -> dict[str, float]:
    """Task weights of a paper."""
    usual = family_weights(tasks)
    return {t.name: setting.weights.get(type(t).__name__, usual[t.name]) for t in tasks}


def _length(setting: PaperSetting, frames: int) -> tuple[int, int]:
    """Optimiser steps and images a batch."""
    return setting.steps or setting.epochs * frames // setting.batch_size, setting.batch_size


def _fixed(weights: Mapping[str, float]) -> str:
    return "fixed:" + ",".join(f"{name}={weight:g}" for name, weight in weights.items())


def _loss_options(task: Task, *tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {k: v for table in tables for k, v in table.get(type(task).__name__, {}).items()}
