"""Procedural streets as sequences: depth and motion without labels, beside labelled tasks."""

from typing import Any, Literal

from crosstask.data import transforms
from crosstask.data.datasets.procedural import ProceduralStreets
from crosstask.engine.experiment import Data, Experiment
from crosstask.recipes.options import choose_tasks, parse_size
from crosstask.recipes.self_supervised import (
    depth_task,
    parse_offsets,
    self_supervised_experiment,
    sequence_modalities,
)


def self_supervised(
    tasks: str = "depth",
    size: str = "96x192",
    difficulty: str = "easy",
    train_length: int = 800,
    val_length: int = 64,
    cache: str | None = None,
    flip: float = 0.5,
    offsets: str = "-1,1",
    encoder: str | None = "test_resnet",
    pretrained: bool = False,
    width: float = 0.25,
    pose_encoder: str = "test_resnet",
    pose_network: Literal["stacked", "correlation"] = "correlation",
    distance: float | str | None = None,
    camera_height: float | None = None,
    refine_poses: bool = True,
    steps: int = 1000,
    batch_size: int = 4,
    optimizer: str = "matched",
    lr: float | None = 1e-3,
    pose_lr: float | None = 2e-3,
    val_every: int = 250,
    seed: int = 0,
    **options: Any,
) -> Experiment:
    """Depth and motion from three frames of procedural streets, scored against their true values.

    With `--tasks segmentation,depth` segmentation learns from its labels in the same network. The
    true depth and poses are for evaluation alone; `--distance poses` lets the length of the true
    motion fix the scale.

    Args:
        tasks: comma-separated, ordered; depth among them is the self-supervised one.
        size: HEIGHTxWIDTH.
        difficulty: easy, or hard.
        train_length: training scenes of three frames.
        val_length: validation scenes.
        cache: folder for rendered frames; rendered anew each time if left out.
        flip: probability of a mirrored sample.
        offsets: frames that explain the target: `--offsets=-1,1`.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        pose_encoder: timm name of the pose network's encoder.
        pose_network: correlation of features, or stacked frames (as published), which finds rotations
            from scratch in many more steps.
        distance: metres between frames, or poses (from the data), to learn metric depth.
        camera_height: metres above the ground, to learn metric depth.
        refine_poses: refine the pose network's motions against the images (direct alignment).
        steps: optimiser steps.
        batch_size: targets a batch.
        optimizer: matched, paper_self_supervised, adam, adamw, sgd.
        lr: rate of encoder and decoders.
        pose_lr: rate of the pose network, which has to lead at the start: under a wrong motion the
            best depth is infinite.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation; the scenes are the same under every seed.
    """
    from crosstask.recipes.procedural import street_tasks  # which offers this recipe in turn

    depth = depth_task(distance, camera_height, near=1.0, far=80.0, start=1.0)
    chosen = choose_tasks(tasks, {**street_tasks(), "depth": depth})

    def streets(split: str, length: int, transform: Any = None) -> Data:
        return lambda: ProceduralStreets(
            split,
            sequence_modalities(chosen, poses=True),
            parse_size(size),
            difficulty,  # type: ignore[arg-type]
            length=length,
            cache=cache,
            offsets=parse_offsets(offsets),
            transform=transform,
        )

    return self_supervised_experiment(
        tasks=chosen,
        train_data=streets("train", train_length, transforms.training(parse_size(size), flip=flip)),
        val_data=streets("val", val_length),
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        pose_encoder=pose_encoder,
        pose_network=pose_network,
        size=size,
        offsets=offsets,
        distance=distance,  # type: ignore[arg-type]
        camera_height=camera_height,
        refine_poses=refine_poses,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        pose_lr=pose_lr,
        val_every=val_every,
        seed=seed,
        **options,
    )
