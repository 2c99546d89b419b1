"""Recipes on your own frames: depth from a folder of images or a video, without labels."""

from typing import TYPE_CHECKING, Any, Literal

from crosstask.recipes.options import choose_tasks, needed_root, parse_names, parse_size
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import NetworkSettings, SelfSupervisionSettings, TrainingSettings

if TYPE_CHECKING:
    from crosstask.data.datasets.frames import FrameFolder
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task


@recipe
def self_supervised(
    root: str | None = None,
    intrinsics: str | None = None,
    tasks: str = "depth",
    size: str = "128x416",
    validation: float = 0.2,
    value_range: str = "auto",
    flip: float = 0.5,
    jitter: float = 0.0,
    network: NetworkSettings = NetworkSettings(architecture=None, encoder="resnet18", width=0.5),
    motion: SelfSupervisionSettings = SelfSupervisionSettings(
        reprojection="mean", auto_mask=False, border="ignore", refine_poses=True
    ),
    training: TrainingSettings = TrainingSettings(
        steps=2000,
        batch_size=4,
        balancing="equal",
        optimizer="matched",
        lr=3e-4,
        val_every=500,
    ),
) -> "Experiment":
    """Depth and camera motion from frames of a moving camera, without labels.

    The plain mean over the source frames and no auto-mask by default: the minimum and the auto-mask
    are subject to a patent claim of their authors (see NOTICE); `--reprojection minimum
    --auto-mask true` turns them on.

    Args:
        root: folder of frames, folder of such folders, or video file.
        intrinsics: fx,fy,cx,cy in pixels of the stored images, or a text file with them; if left
            out, intrinsics.txt beside the frames.
        tasks: depth; frames have no labels for others.
        validation: share of every sequence, at its end, that is kept for validation.
        distance: metres between consecutive frames, if known: depth becomes metric.
        camera_height: metres above the ground, if known: depth becomes metric.
    """
    from crosstask.data import transforms
    from crosstask.data.datasets.frames import FrameFolder
    from crosstask.recipes.self_supervised import (
        depth_task,
        parse_offsets,
        self_supervised_experiment,
    )

    if motion.distance == "poses":
        raise ValueError("`distance` is 'poses', which frames do not have; expected metres")
    depth = only_depth(tasks, depth_task(motion.distance, motion.camera_height))
    place, shape = needed_root(root, "frames.self_supervised"), parse_size(size)

    def frames(split: Literal["train", "val"], transform: Any) -> "FrameFolder":
        return FrameFolder(
            place,
            split,
            ("neighbours", depth.name),
            transform,
            intrinsics=parse_camera(intrinsics),
            validation=validation,
            value_range=value_range,
            offsets=parse_offsets(motion.offsets),
        )

    return self_supervised_experiment(
        tasks=(depth,),
        train_data=lambda: frames("train", transforms.training(shape, flip=flip, jitter=jitter)),
        val_data=lambda: frames("val", transforms.evaluation(shape)),
        size=size,
        network=network,
        motion=motion,
        training=training,
    )


def only_depth(tasks: str, depth: "Task") -> "Task":
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
