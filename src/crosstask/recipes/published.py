"""What the papers of SCA-MTL, MTI-Net and ATRC set on NYUDv2 and PASCAL-Context.

The facts are fields of the architectures (`papers`); here they become options of a recipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crosstask.models.architectures.architecture import PaperSetting
from crosstask.models.registry import Given, find_architecture
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
    architecture: Given,
    tasks: Sequence[Task],
    *,
    frames: int,
    balancing: str,
    steps: int | None,
    batch_size: int | None,
    usual: tuple[int, int],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Options of a recipe, where the user gave none as in the architecture's paper.

    Args:
        dataset: nyudv2 or pascal_context.
        frames: of the training split.
        balancing: "paper" becomes the paper's weights.
        steps, batch_size: None becomes the paper's under `optimizer` "paper", else the usual.
        usual: steps and images a batch of other architectures and optimisers.
        given: all further options of the recipe; None is not given.

    Returns:
        `given` with balancing, steps and batch_size, and the paper's rate and options.
    """
    kinds = [type(task).__name__ for task in tasks]
    setting = find_architecture(architecture).paper_on(dataset, kinds, given.get("encoder"))
    made = dict(given)
    length = usual
    if setting is not None:
        as_in_paper = (given.get("optimizer") or "paper") == "paper"
        if as_in_paper:
            length = _length(setting, frames)
        if balancing == "paper":
            balancing = _fixed(published_weights(setting, tasks))
        options = dict(setting.options)
        if setting.weighted_auxiliary:
            options["auxiliary_weights"] = family_weights(tasks)
        if options:
            made["options"] = options | (given.get("options") or {})
        if as_in_paper and setting.lr is not None and given.get("lr") is None:
            made["lr"] = setting.lr
    made["steps"] = length[0] if steps is None else steps
    made["batch_size"] = length[1] if batch_size is None else batch_size
    made["balancing"] = balancing
    return made


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
