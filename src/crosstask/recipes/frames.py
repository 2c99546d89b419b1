"""Recipes on your own frames: depth from a folder of images or a video, without labels."""

from typing import Any, Literal

from crosstask.data import transforms
from crosstask.data.datasets.frames import FrameFolder
from crosstask.engine.experiment import Experiment
from crosstask.recipes.options import choose_tasks, needed_root, parse_names, parse_size
from crosstask.recipes.self_supervised import (
    depth_task,
    parse_offsets,
    self_supervised_experiment,
)
from crosstask.tasks import Task


def self_supervised(
    root: str | None = None,
    intrinsics: str | None = None,
    tasks: str = "depth",
    size: str = "128x416",
    validation: float = 0.2,
    value_range: str = "auto",
    offsets: str = "-1,1",
    flip: float = 0.5,
    jitter: float = 0.0,
    encoder: str | None = "resnet18",
    pretrained: bool = True,
    width: float = 0.5,
    pose_encoder: str = "resnet18",
    reprojection: Literal["minimum", "mean"] = "mean",
    auto_mask: bool = False,
    border: Literal["count", "ignore"] = "ignore",
    distance: float | None = None,
    camera_height: float | None = None,
    refine_poses: bool = True,
    steps: int = 2000,
    batch_size: int = 4,
    optimizer: str = "matched",
    lr: float | None = 3e-4,
    val_every: int = 500,
    seed: int = 0,
    **options: Any,
) -> Experiment:
    """Depth and camera motion from frames of a moving camera, without labels.

    The plain mean over the source frames and no auto-mask by default: the minimum and the auto-mask
    are subject to a patent claim of their authors (see NOTICE); `--reprojection minimum
    --auto-mask true` turns them on.

    Args:
        root: folder of frames, folder of such folders, or video file.
        intrinsics: fx,fy,cx,cy in pixels of the stored images, or a text file with them; if left
            out, intrinsics.txt beside the frames.
        tasks: depth; frames have no labels for others.
        size: HEIGHTxWIDTH.
        validation: share of every sequence, at its end, that is kept for validation.
        value_range: stored values of the frames that are black and white, such as 0..4095; auto is
            the range of the data type.
        offsets: frames that explain the target: `--offsets=-1,1`.
        flip: probability of a mirrored sample.
        jitter: probability of changed colours.
        encoder: a timm name.
        pretrained: start from ImageNet weights.
        width: factor on decoder widths.
        pose_encoder: timm name of the pose network's encoder.
        reprojection: mean or minimum over the source frames.
        auto_mask: leave out pixels that an unwarped source frame explains better.
        border: ignore sources that do not see a pixel, or count their repeated border.
        distance: metres between consecutive frames, if known: depth becomes metric.
        camera_height: metres above the ground, if known: depth becomes metric.
        refine_poses: refine the pose network's motions against the images (direct alignment). It begins
            with a level ground ahead, as cars and robots see it.
        steps: optimiser steps.
        batch_size: targets a batch.
        optimizer: matched, paper_self_supervised, adam, adamw, sgd.
        lr: rate.
        val_every: optimiser steps between validations.
        seed: of weights, order and augmentation.
    """
    depth = only_depth(tasks, depth_task(distance, camera_height))
    place, shape = needed_root(root, "frames.self_supervised"), parse_size(size)

    def frames(split: Literal["train", "val"], transform: Any) -> FrameFolder:
        return FrameFolder(
            place,
            split,
            ("neighbours", depth.name),
            transform,
            intrinsics=parse_camera(intrinsics),
            validation=validation,
            value_range=value_range,
            offsets=parse_offsets(offsets),
        )

    return self_supervised_experiment(
        tasks=(depth,),
        train_data=lambda: frames("train", transforms.training(shape, flip=flip, jitter=jitter)),
        val_data=lambda: frames("val", transforms.evaluation(shape)),
        encoder=encoder,
        pretrained=pretrained,
        width=width,
        pose_encoder=pose_encoder,
        size=size,
        offsets=offsets,
        reprojection=reprojection,
        auto_mask=auto_mask,
        border=border,
        distance=distance,
        camera_height=camera_height,
        refine_poses=refine_poses,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        val_every=val_every,
        seed=seed,
        **options,
    )


def only_depth(tasks: str, depth: Task) -> Task:
    """The depth task, where nothing else is asked for."""
    others = [name for name in parse_names(tasks) if name != depth.name]
    if others:
        raise ValueError(
            f"`tasks` names {others[0]}, for which frames have no labels; expected depth. Images "
            "with labels: folder.supervised"
        )
    (chosen,) = choose_tasks(tasks, {depth.name: depth})
    return chosen


def parse_camera(intrinsics: str | None) -> tuple[float, ...] | str | None:
    """ "718.9,718.9,607.2,185.2" -> four numbers; anything else is a file's name."""
    if intrinsics is None:
        return None
    parts = intrinsics.split(",")
    if len(parts) == 1:
        return intrinsics
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        raise ValueError(
            f"`intrinsics` is {intrinsics!r}; expected fx,fy,cx,cy in pixels, or a text file"
        ) from None
