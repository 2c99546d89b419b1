"""From Virtual KITTI 2 to Cityscapes: the 8 classes that both have (table 6 of DenseMTL)."""

from typing import Any

from crosstask.data import Cityscapes, VirtualKITTI2, transforms
from crosstask.engine.experiment import Experiment
from crosstask.recipes.adapting import adaptation_experiment, median_scaled
from crosstask.recipes.cityscapes import cityscapes_tasks
from crosstask.recipes.options import choose_tasks, needed_root, parse_size


def adaptation(
    root: str | None = None,
    source_root: str | None = None,
    method: str = "adversarial",
    tasks: str = "segmentation,depth",
    size: str = "512x1024",
    canonical_focal: float | None = None,
    steps: int = 90_000,
    batch_size: int = 2,
    clip: float | None = None,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """Labelled Virtual KITTI 2 to unlabelled Cityscapes train, scored on Cityscapes val.

    The defaults are the released MTL-UDA: all 2126 source images (15-deg-left, camera 0) resized
    to 1696x512 and cut to 1024x512, two images of each domain a batch, 90,000 steps, adversarial
    alignment. Trucks are vehicles in the source and void in the target, as in the paper's 8 classes
    (buses are vehicles in the target; the source has none). The paper's depth errors are
    those under `depth/median_scaled/...` at `--protocol released`.

    Args:
        root: folder of Cityscapes (the target); its training labels are not read.
        source_root: folder of Virtual KITTI 2.
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH; the paper's.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware).
        steps: optimiser steps.
        batch_size: images of each domain a batch.
        clip: gradient norm, of the network and of the discriminators each on its own; none as
            in the released code.
        protocol: correct or released.
    """
    chosen = median_scaled(choose_tasks(tasks, cityscapes_tasks(8, protocol, canonical_focal)))
    wanted = parse_size(size)
    common: dict[str, Any] = {"classes": 8, "far": 80.0, "protocol": protocol}

    def source(modalities: tuple[str, ...]) -> VirtualKITTI2:
        folder = needed_root(source_root, "vkitti2_to_cityscapes", "source_root", "Virtual KITTI 2")
        wide = (wanted[0], round(wanted[0] * 1696 / 512))
        change = transforms.training(wanted, resize=wide)
        return VirtualKITTI2(folder, "all", modalities, change, **common)

    def target(modalities: tuple[str, ...], split: str = "train") -> Cityscapes:
        folder = needed_root(root, "vkitti2_to_cityscapes", "root", "Cityscapes")
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
