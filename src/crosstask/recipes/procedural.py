"""Recipes on procedural streets: no dataset to download, true labels for every task."""

from typing import Any

from crosstask.data import ProceduralStreets
from crosstask.data.streets import STREET_CLASSES
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import supervised_experiment
from crosstask.recipes.options import choose_tasks, parse_size
from crosstask.recipes.procedural_adaptation import adaptation as adaptation
from crosstask.recipes.procedural_self_supervised import self_supervised as self_supervised
from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task


def street_tasks(
    protocol: str = "correct", canonical_focal: float | None = None
) -> dict[str, Task]:
    """The four tasks as procedural streets teach them: depth from 1 to 80 m."""
    p: Any = protocol
    return {
        "segmentation": Segmentation(classes=STREET_CLASSES, protocol=p),
        "depth": Depth(near=1.0, far=80.0, canonical_focal=canonical_focal, protocol=p),
        "normals": Normals(protocol=p),
        "edges": Edges(protocol=p),
    }


def supervised(
    tasks: str = "segmentation,depth,normals,edges",
    size: str = "128x256",
    difficulty: str = "easy",
    domain: str = "source",
    train_length: int = 2000,
    val_length: int = 64,
    cache: str | None = None,
    canonical_focal: float | None = None,
    labels_per_image: int | None = None,
    encoder: str | None = "resnet10t",
    pretrained: bool = False,
    width: float = 0.25,
    steps: int = 400,
    batch_size: int = 4,
    optimizer: str = "matched",
    val_every: int = 200,
    seed: int = 0,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Supervised training on procedural streets, from random weights, in minutes on a CPU.

    Args:
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH.
        difficulty: easy, or hard (the benchmark on which architectures are compared).
        domain: source or target (another palette, light, camera).
        train_length: training scenes.
        val_length: validation scenes.
        cache: folder for rendered frames; rendered anew each time if left out.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        labels_per_image: hide all but so many labels of each training scene, chosen at random.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images a batch.
        optimizer: matched, paper, adam, adamw, sgd.
        val_every: optimiser steps between validations.
        seed: of weights and order; the scenes are the same under every seed.
        protocol: correct or released.
    """
    chosen = choose_tasks(tasks, street_tasks(protocol, canonical_focal))
    modalities = tuple(task.name for task in chosen)

    def streets(split: str, length: int, labels: int | None = None) -> ProceduralStreets:
        return ProceduralStreets(
            split=split,
            modalities=modalities,
            size=parse_size(size),
            difficulty=difficulty,
            domain=domain,
            length=length,
            cache=cache,
            labels_per_image=labels,
            protocol=protocol,  # type: ignore[arg-type]
        )

    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: streets("train", train_length, labels_per_image),
        val_data=lambda: streets("val", val_length),
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        size=size,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        val_every=val_every,
        seed=seed,
        protocol=protocol,
        **options,
    )


def partial(labels_per_image: int = 1, steps: int = 800, **options: Any) -> Experiment:
    """Procedural streets where every training scene has one random label out of all tasks'.

    Args:
        labels_per_image: labels that each training scene keeps.
        steps: optimiser steps.
    """
    return supervised(labels_per_image=labels_per_image, steps=steps, **options)
