"""Recipes on CamVid: 367 labelled street photographs, 11 classes, edges from label boundaries."""

from typing import Any

from crosstask.data import CamVid, labels, transforms
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import supervised_experiment
from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.tasks import Edges, Segmentation, Task


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,edges",
    size: str = "352x480",
    encoder: str | None = "resnet18",
    pretrained: bool = True,
    width: float = 0.5,
    steps: int = 10_000,
    batch_size: int = 8,
    optimizer: str = "matched",
    lr: float | None = 1e-3,
    zoom_min: float = 0.75,
    zoom_max: float = 1.75,
    jitter: float = 0.5,
    val_every: int = 500,
    seed: int = 0,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """CamVid (SegNet's edition): segmentation with 11 classes and semantic edges.

    Trained on crops of randomly scaled images, scored at the labels' own 360x480.

    Args:
        root: folder with train/, trainannot/, val/, valannot/.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH of training crops; validation images are resized to it.
        encoder: a timm name.
        pretrained: start from ImageNet weights (downloaded once).
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images a batch.
        optimizer: matched, paper, adam, adamw, sgd.
        lr: learning rate.
        zoom_min: least random zoom.
        zoom_max: largest random zoom.
        jitter: probability of changed colours.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation.
        protocol: correct or released.
    """
    p: Any = protocol
    available: dict[str, Task] = {
        "segmentation": Segmentation(classes=labels.CAMVID_11, protocol=p),
        "edges": Edges(protocol=p),
    }
    chosen = choose_tasks(tasks, available)
    modalities = tuple(task.name for task in chosen)
    train = transforms.training(parse_size(size), scale=(zoom_min, zoom_max), jitter=jitter)
    val = transforms.evaluation(parse_size(size), targets="native")
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: CamVid(needed_root(root, "camvid"), "train", modalities, train),
        val_data=lambda: CamVid(needed_root(root, "camvid"), "val", modalities, val),
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        size=size,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        val_every=val_every,
        seed=seed,
        protocol=protocol,
        **options,
    )
