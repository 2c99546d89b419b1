"""Recipes on a user's own folder of images and labels."""

from pathlib import Path
from typing import Any

from crosstask.data import FolderDataset
from crosstask.engine.experiment import Experiment
from crosstask.recipes.building import reader_experiment
from crosstask.recipes.options import needed_root
from crosstask.tasks import Depth, Edges, Normals, Saliency, Segmentation, Task


def folder_tasks(
    root: str, near: float, far: float, canonical_focal: float | None, protocol: str
) -> dict[str, Task]:
    """The tasks that the folder's own labels can teach."""
    p: Any = protocol
    table = FolderDataset(root, "all", ()).classes
    tasks: dict[str, Task] = {}
    if table is not None:
        tasks["segmentation"] = Segmentation(classes=table, protocol=p)
    tasks["depth"] = Depth(near=near, far=far, canonical_focal=canonical_focal, protocol=p)
    tasks["normals"] = Normals(protocol=p)
    tasks["edges"] = Edges(protocol=p)
    tasks["saliency"] = Saliency(protocol=p)
    return tasks


def supervised(
    root: str | None = None,
    tasks: str = "segmentation,depth",
    size: str = "256x512",
    near: float = 0.1,
    far: float = 80.0,
    depth_scale: float = 1000.0,
    canonical_focal: float | None = None,
    encoder: str | None = "resnet18",
    pretrained: bool = True,
    width: float = 0.5,
    steps: int = 10_000,
    batch_size: int = 4,
    optimizer: str = "matched",
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Your own images, with whatever labels you have (see `crosstask.data.FolderDataset`).

    Args:
        root: folder with images/ and any of segmentation/, depth/, normals/, edges/, saliency/.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH.
        near: least depth in metres.
        far: largest depth in metres; labels beyond are void.
        depth_scale: units a metre of depth PNGs: 1000 for millimetres.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images a batch.
        optimizer: matched, paper, adam, adamw, sgd.
        protocol: correct or released.
    """
    place = needed_root(root, "folder")
    return reader_experiment(
        FolderDataset,
        folder_tasks(str(Path(place)), near, far, canonical_focal, protocol),
        name="folder",
        root=place,
        tasks=tasks,
        size=size,
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        protocol=protocol,
        reader_options={"depth_scale": depth_scale, "far": far},
        **options,
    )
