"""What the papers of SCA-MTL, MTI-Net and ATRC set on NYUDv2 and PASCAL-Context.

Weights, lengths, optimisers and ATRC's contexts are those of the papers' released configurations.
`mti_xtam`, which nobody published, takes MTI-Net's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crosstask.regimes.optimization import OptimizerSettings, optimizer_settings
from crosstask.tasks import Task, family_weights

# Architectures whose papers train with L1 depth, L1 normals and binary edges.
FAMILY = ("sca_mtl", "mti_net", "mti_xtam", "atrc")

# SCA-MTL's own weights, by dataset and kinds of task.
_SCA_MTL_WEIGHTS: Mapping[tuple[str, ...], Mapping[str, float]] = {
    ("nyudv2", "Depth", "Segmentation"): {"Segmentation": 1.44, "Depth": 1.15},
    ("pascal_context", "Normals", "Segmentation"): {"Segmentation": 1.1, "Normals": 40.0},
}
# SCA-MTL's epochs and batch, by dataset and kinds of task.
_SCA_MTL_EPOCHS: Mapping[tuple[str, ...], tuple[int, int]] = {
    ("pascal_context", "Normals", "Segmentation"): (100, 16),
    ("pascal_context", "HumanParts", "Saliency", "Segmentation"): (80, 8),
}
_TRAINING_FRAMES = {"nyudv2": 795, "pascal_context": 4998}
# Weight of an edge pixel in ATRC's losses, the main and the auxiliary one.
ATRC_EDGE_WEIGHT = {"nyudv2": 0.8, "pascal_context": 0.95}
_ATRC_RATE = {"nyudv2": 0.01, "pascal_context": 0.005}


def published_weights(dataset: str, architecture: str, tasks: Sequence[Task]) -> dict[str, float]:
    """Task weights of a family member's paper.

    ATRC divides its normals loss by pixels, ours by their three components: its weight of 10 is 30
    here.
    """
    weights = family_weights(tasks)
    own = _SCA_MTL_WEIGHTS.get((dataset, *_kinds(tasks)), {}) if architecture == "sca_mtl" else {}
    for task in tasks:
        kind = type(task).__name__
        weights[task.name] = own.get(kind, weights[task.name])
        if architecture == "atrc" and kind == "Normals":
            weights[task.name] *= 3
    return weights


def published_length(dataset: str, architecture: str, tasks: Sequence[Task]) -> tuple[int, int]:
    """Optimiser steps and images a batch of a family member's paper.

    SCA-MTL with a set of tasks that its paper does not train takes 100 epochs: in batches of 10 on
    NYUDv2, of 8 (MTI-Net's) on PASCAL-Context.
    """
    if architecture == "atrc":
        return 40_000, 8
    epochs, batch = 100, 8
    if architecture == "sca_mtl":
        usual = (100, 10 if dataset == "nyudv2" else 8)
        epochs, batch = _SCA_MTL_EPOCHS.get((dataset, *_kinds(tasks)), usual)
    return epochs * _TRAINING_FRAMES[dataset] // batch, batch


def published_optimizer(
    preset: str, architecture: str, lr: float | None = None, encoder_lr: float | None = None
) -> OptimizerSettings:
    """`optimizer_settings`, where "paper" is MTI-Net's and ATRC's own, too.

    MTI-Net: Adam, 1e-4, weight decay 1e-4, poly; as SCA-MTL. ATRC: SGD, 0.01 (0.005 on
    PASCAL-Context, which its recipe sets), momentum 0.9, weight decay 5e-4, poly.
    """
    if preset != "paper" or architecture not in FAMILY:
        return optimizer_settings(preset, architecture, lr, encoder_lr)
    if architecture != "atrc":
        return optimizer_settings("sca_mtl", architecture, lr, encoder_lr)
    rate = _ATRC_RATE["nyudv2"] if lr is None else lr
    settings = optimizer_settings(
        "sgd", architecture, rate, rate if encoder_lr is None else encoder_lr
    )
    return replace(settings, weight_decay=5e-4, schedule="poly")


def atrc_options(dataset: str, tasks: Sequence[Task], encoder: str | None = None) -> dict[str, Any]:
    """ATRC's published contexts, and its auxiliary losses with the tasks' weights."""
    genotype = "searched_pascal"
    if dataset == "nyudv2":
        genotype = "searched_w48" if (encoder or "").startswith("hrnet_w48") else "searched"
    return {
        "genotype": genotype,
        "positive_weight": ATRC_EDGE_WEIGHT[dataset],
        "auxiliary_weights": family_weights(tasks),
    }


def as_published(
    dataset: str,
    architecture: str,
    tasks: Sequence[Task],
    *,
    balancing: str,
    steps: int | None,
    batch_size: int | None,
    usual: tuple[int, int],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Options of a recipe, where the user gave none as in the architecture's paper.

    Args:
        dataset: nyudv2 or pascal_context.
        balancing: "paper" becomes the paper's weights.
        steps, batch_size: None becomes the paper's under `optimizer` "paper", else the usual.
        usual: steps and images a batch of other architectures and optimisers.
        given: all further options of the recipe; None is not given.

    Returns:
        `given` with balancing, steps and batch_size, and for ATRC its rate and options.
    """
    paper = architecture in FAMILY and (given.get("optimizer") or "paper") == "paper"
    length = published_length(dataset, architecture, tasks) if paper else usual
    made = dict(given)
    made["steps"] = length[0] if steps is None else steps
    made["batch_size"] = length[1] if batch_size is None else batch_size
    if balancing == "paper" and architecture in FAMILY:
        weights = published_weights(dataset, architecture, tasks)
        balancing = "fixed:" + ",".join(f"{name}={w:g}" for name, w in weights.items())
    made["balancing"] = balancing
    if architecture == "atrc":
        published = atrc_options(dataset, tasks, given.get("encoder"))
        made["options"] = published | (given.get("options") or {})
        if paper and given.get("lr") is None:
            made["lr"] = _ATRC_RATE[dataset]
    return made


def _kinds(tasks: Sequence[Task]) -> tuple[str, ...]:
    return tuple(sorted(type(task).__name__ for task in tasks))
