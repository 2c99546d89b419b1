"""Segmentation on Cityscapes helped by depth from its video: the paper's Table 5."""

from dataclasses import dataclass
from typing import Any, Literal

from crosstask.data import Cityscapes, transforms
from crosstask.engine.experiment import Data, Experiment
from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.self_supervised import (
    depth_task,
    parse_offsets,
    self_supervised_experiment,
    sequence_modalities,
)


@dataclass(frozen=True)
class _Phase:
    """What a phase of the published training sets where the command line does not."""

    tasks: str
    steps: int
    batch_size: int
    lr: float
    encoder_lr: float
    pose_lr: float
    freeze: str
    feature_distance: float
    jitter: float


PHASES = {
    "depth": _Phase("depth", 300_000, 4, 1e-4, 1e-4, 1e-4, "encoder", 0.0, 0.5),
    "depth_unfrozen": _Phase("depth", 50_000, 4, 1e-5, 1e-5, 1e-5, "", 1e-2, 0.5),
    "joint": _Phase("segmentation,depth", 40_000, 2, 5e-5, 1e-5, 1e-6, "", 0.0, 0.0),
}


def self_supervised(
    root: str | None = None,
    phase: Literal["depth", "depth_unfrozen", "joint"] = "joint",
    tasks: str | None = None,
    classes: int = 16,
    crop: str = "512x512",
    size: str = "512x1024",
    flip: float = 0.5,
    jitter: float | None = None,
    offsets: str = "-1,1",
    distance: float | None = None,
    camera_height: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    encoder_lr: float | None = None,
    pose_lr: float | None = None,
    freeze: str | None = None,
    feature_distance: float | None = None,
    **options: Any,
) -> Experiment:
    """Cityscapes with the settings of the paper's Table 5, in three phases; each starts from the last.

    `--phase depth` (depth and motion alone, encoder frozen), `--phase depth_unfrozen --init-from RUN1`
    (encoder free, held near its ImageNet features), `--phase joint --init-from RUN2` (with
    segmentation, under `--architecture densemtl`, threeways_padnet or multi_task_matched). A phase
    sets tasks, steps, batch, rates, frozen parts, feature distance and jitter that are not given.

    With 16 classes the paper reports mIoU 74.36 for DenseMTL and 69.74 for 3-ways PAD-Net. It trains
    depth on all frames of the sequences; here the targets are the labelled frames, each with its
    neighbours. Depth is scored by stereo disparity after median scaling.

    Args:
        root: folder of the dataset, with leftImg8bit_sequence and camera.
        phase: depth, depth_unfrozen or joint.
        tasks: comma-separated, ordered.
        classes: 16 or 19.
        crop: HEIGHTxWIDTH of the random training crops.
        size: HEIGHTxWIDTH that images are resized to first, and are validated at.
        flip: probability of a mirrored sample.
        jitter: probability of changed colours.
        offsets: frames that explain the target: `--offsets=-1,1`.
        distance: metres between consecutive frames, if known: depth becomes metric.
        camera_height: metres above the ground, if known (about 1.22 here): depth becomes metric.
        steps: optimiser steps.
        batch_size: targets a batch.
        lr: rate of decoders and exchanges.
        encoder_lr: rate of the encoder.
        pose_lr: rate of the pose network.
        freeze: any of encoder, norms, pose, with commas.
        feature_distance: weight of the distance to the features of the encoder at the start.
    """
    if phase not in PHASES:
        raise ValueError(f"`phase` is {phase!r}; expected one of {', '.join(PHASES)}")
    preset, place = PHASES[phase], needed_root(root, "cityscapes.self_supervised")
    from crosstask.recipes.cityscapes import cityscapes_tasks  # which offers this recipe in turn

    available = {**cityscapes_tasks(classes), "depth": depth_task(distance, camera_height)}
    chosen = choose_tasks(preset.tasks if tasks is None else tasks, available)

    def frames(split: str, transform: Any) -> Data:
        return lambda: Cityscapes(
            place,
            split,
            sequence_modalities(chosen, poses=False),
            transform,
            classes=classes,
            far=80.0,
            offsets=parse_offsets(offsets),
        )

    colours = preset.jitter if jitter is None else jitter
    whole, part = parse_size(size), parse_size(crop)
    return self_supervised_experiment(
        tasks=chosen,
        train_data=frames(
            "train", transforms.training(part, resize=whole, flip=flip, jitter=colours)
        ),
        val_data=frames("val", transforms.evaluation(whole)),
        size=size,
        offsets=offsets,
        distance=distance,
        camera_height=camera_height,
        steps=preset.steps if steps is None else steps,
        batch_size=preset.batch_size if batch_size is None else batch_size,
        lr=preset.lr if lr is None else lr,
        encoder_lr=preset.encoder_lr if encoder_lr is None else encoder_lr,
        pose_lr=preset.pose_lr if pose_lr is None else pose_lr,
        freeze=preset.freeze if freeze is None else freeze,
        feature_distance=preset.feature_distance if feature_distance is None else feature_distance,
        **options,
    )
