"""From SYNTHIA to Cityscapes: the 16 classes that both have (table 6 of DenseMTL)."""

from typing import Any

from crosstask.data import Cityscapes, Synthia, transforms
from crosstask.engine.experiment import Experiment
from crosstask.recipes.adapting import adaptation_experiment, median_scaled
from crosstask.recipes.cityscapes import cityscapes_tasks
from crosstask.recipes.options import choose_tasks, needed_root, parse_size


def adaptation(
    root: str | None = None,
    source_root: str | None = None,
    method: str = "adversarial",
    tasks: str = "segmentation,depth",
    classes: int = 16,
    size: str = "512x1024",
    canonical_focal: float | None = None,
    steps: int = 90_000,
    batch_size: int = 2,
    clip: float | None = None,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Labelled SYNTHIA-RAND-CITYSCAPES to unlabelled Cityscapes train, scored on Cityscapes val.

    The defaults are the released MTL-UDA: all 9400 source images, both domains at 1024x512, two
    images of each a batch, 90,000 steps, adversarial alignment. The paper's depth errors are
    those under `depth/median_scaled/...` at `--protocol released`.

    Args:
        root: folder of Cityscapes (the target); its training labels are not read.
        source_root: folder of SYNTHIA (RAND_CITYSCAPES).
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        tasks: comma-separated, ordered.
        classes: 16, or the 13 without wall, fence and pole.
        size: HEIGHTxWIDTH; the paper's.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        steps: optimiser steps.
        batch_size: images of each domain a batch.
        clip: gradient norm, of the network and of the discriminators each on its own; none as
            in the released code.
        protocol: correct or released.
    """
    chosen = median_scaled(
        choose_tasks(tasks, cityscapes_tasks(classes, protocol, canonical_focal))
    )
    wanted = parse_size(size)
    common: dict[str, Any] = {"classes": classes, "far": 80.0, "protocol": protocol}

    def source(modalities: tuple[str, ...]) -> Synthia:
        folder = needed_root(source_root, "synthia_to_cityscapes", "source_root", "SYNTHIA")
        return Synthia(folder, "all", modalities, transforms.training(wanted), **common)

    def target(modalities: tuple[str, ...], split: str = "train") -> Cityscapes:
        folder = needed_root(root, "synthia_to_cityscapes", "root", "Cityscapes")
        change = transforms.training(wanted) if split == "train" else transforms.evaluation(wanted)
        return Cityscapes(folder, split, modalities, change, **common)

    return adaptation_experiment(
        tasks=chosen,
        source=source,
        target=target,
        val_data=lambda: target(tuple(t.name for t in chosen), "val"),
        method=method,
        size=size,
        steps=steps,
        batch_size=batch_size,
        clip=clip,
        protocol=protocol,
        **options,
    )
