"""From procedural streets to CamVid: a simulation without files to real photographs."""

from typing import Any

from torch.utils.data import Dataset

from crosstask.data import CamVid, labels, transforms
from crosstask.data.combine.class_map import MappedClasses
from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.engine.experiment import Experiment
from crosstask.recipes.adapting import adaptation_experiment
from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.tasks import Edges, Segmentation, Task

# Grass verges have no class in CamVid; trucks are among its cars, lane markings among its roads.
STREETS_TO_CAMVID: dict[str, str] = {
    "road": "road",
    "sidewalk": "pavement",
    "building": "building",
    "fence": "fence",
    "pole": "pole",
    "sign": "sign",
    "tree": "tree",
    "sky": "sky",
    "pedestrian": "pedestrian",
    "bicyclist": "bicyclist",
    "car": "car",
    "truck": "car",
    "lane_marking": "road",
}


def adaptation(
    root: str | None = None,
    method: str = "both",
    tasks: str = "segmentation,edges",
    size: str = "192x256",
    difficulty: str = "hard",
    train_length: int = 4000,
    cache: str | None = None,
    encoder: str | None = "resnet18",
    pretrained: bool = True,
    width: float = 0.5,
    steps: int = 4000,
    batch_size: int = 4,
    optimizer: str = "matched",
    val_every: int = 500,
    seed: int = 0,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Labelled procedural streets to unlabelled CamVid train, scored on CamVid val (11 classes).

    Args:
        root: folder of CamVid; its training labels are read by the oracle only.
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        tasks: comma-separated, ordered: segmentation, edges.
        size: HEIGHTxWIDTH of both domains; scored at the labels' own size.
        difficulty: of the streets: easy or hard.
        train_length: street scenes.
        cache: folder for rendered streets; rendered anew each time if left out.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        steps: optimiser steps.
        batch_size: images of each domain a batch.
        optimizer: matched, paper, adam, adamw.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation.
        protocol: correct or released.
    """
    p: Any = protocol
    available: dict[str, Task] = {
        "segmentation": Segmentation(classes=labels.CAMVID_11, protocol=p),
        "edges": Edges(protocol=p),
    }
    chosen, wanted = choose_tasks(tasks, available), parse_size(size)
    train = transforms.training(wanted, scale=(1.0, 1.5), jitter=0.5)
    flip = transforms.training(wanted, jitter=0.5)

    def source(modalities: tuple[str, ...]) -> Dataset[Any]:
        with_labels = tuple(dict.fromkeys(("segmentation", *modalities)))
        streets = ProceduralStreets(
            "train",
            with_labels,
            wanted,
            difficulty,
            length=train_length,
            transform=flip,
            cache=cache,  # type: ignore[arg-type]
        )
        return MappedClasses(streets, labels.CAMVID_11, STREETS_TO_CAMVID)

    def target(modalities: tuple[str, ...]) -> Dataset[Any]:
        return CamVid(needed_root(root, "procedural_to_camvid"), "train", modalities, train)

    def val_data() -> Dataset[Any]:
        names = tuple(task.name for task in chosen)
        change = transforms.evaluation(wanted, targets="native")
        return CamVid(needed_root(root, "procedural_to_camvid"), "val", names, change)

    return adaptation_experiment(
        tasks=chosen,
        source=source,
        target=target,
        val_data=val_data,
        method=method,
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
