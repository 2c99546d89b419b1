"""What one prediction can show: images of its tasks, one pixel in words, a point cloud.

Pure functions of a `Prediction` and its tasks, for a page, a notebook or a script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from crosstask import geometry
from crosstask.drawing import panels
from crosstask.drawing.legends import legend
from crosstask.geometry.focal import focal_of_view
from crosstask.predict.camera import centred
from crosstask.predict.prediction import Prediction
from crosstask.tasks import Task

ASSUMED_FIELD_OF_VIEW = 60.0
"""Degrees across the image, for the point cloud of an unknown camera."""


@dataclass(frozen=True)
class Reading:
    """What one task says about one pixel, in words and numbers."""

    task: str
    text: str


@dataclass(frozen=True)
class Cloud:
    """A point for every pixel of an image.

    Attributes:
        points: camera frame (x right, y down, z forward), in metres or up to scale.
        colors: of the points.
        valid: which have a depth.
    """

    points: Float[Tensor, "3 h w"]
    colors: UInt8[Tensor, "3 h w"]
    valid: Bool[Tensor, "h w"]


def shrink(image: Float[Tensor, "3 h w"], most_pixels: int) -> Float[Tensor, "3 h2 w2"]:
    """The image itself, or a smaller one of the same shape with at most `most_pixels` pixels."""
    height, width = image.shape[-2:]
    if height * width <= most_pixels:
        return image
    factor = math.sqrt(most_pixels / (height * width))
    size = (max(2, int(height * factor)), max(2, int(width * factor)))
    small = F.interpolate(
        image[None], size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return small[0]


def task_image(prediction: Prediction, task: Task) -> UInt8[Tensor, "3 h w"]:
    """The task's map in its own colours, at the image's size."""
    value = prediction[task.name]
    return task.colorize(value, **task.color_scale(value))


def task_legend(prediction: Prediction, task: Task, width: int, size: int) -> Image.Image:
    """What the colours of `task_image` mean; width and text size in pixels."""
    return legend(task, [prediction[task.name]], width, size, prediction.kind(task))


def class_names(prediction: Prediction, task: Task) -> list[str]:
    """Names of the classes that the map shows, in the table's order; none for other tasks."""
    if task.class_table is None:
        return []
    names = task.class_table.names
    return [names[k] for k in prediction[task.name].unique().tolist() if 0 <= k < len(names)]


def read_pixel(
    prediction: Prediction, tasks: Sequence[Task], row: int, column: int
) -> list[Reading]:
    """What every task says about one pixel.

    Args:
        row, column: in the image, from the top left.

    Raises:
        ValueError: outside of the image.
    """
    height, width = prediction.image.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"`row`, `column` is {row}, {column}; expected 0 to {height - 1}, 0 to {width - 1}"
        )
    return [
        Reading(
            task.name,
            task.describe(prediction[task.name][..., row, column], prediction.kind(task)),
        )
        for task in tasks
    ]


def depth_task(tasks: Sequence[Task]) -> Task | None:
    """The first task whose values are distances along the optical axis."""
    return next((task for task in tasks if task.is_depth), None)


def camera_of(prediction: Prediction) -> Float[Tensor, "3 3"]:
    """The prediction's camera; where there is none, one of `ASSUMED_FIELD_OF_VIEW`."""
    if prediction.intrinsics is not None:
        return prediction.intrinsics
    height, width = prediction.image.shape[-2:]
    return centred(focal_of_view(ASSUMED_FIELD_OF_VIEW, width), height, width)


def point_cloud(prediction: Prediction, tasks: Sequence[Task], color: str = "image") -> Cloud:
    """The scene in space.

    Args:
        color: "image", or the name of the task whose colours the points get.

    Raises:
        ValueError: no task measures depth, or `color` is not a task.
    """
    measured = depth_task(tasks)
    if measured is None:
        raise ValueError(
            f"`tasks` is {[t.name for t in tasks]}; expected one of depth for a point cloud"
        )
    depth = prediction[measured.name].float()
    points = geometry.unproject(depth[None], camera_of(prediction)[None])[0]
    if color == "image":
        colors = (prediction.image.clamp(0, 1) * 255).round().to(torch.uint8)
    else:
        named = {task.name: task for task in tasks}
        if color not in named:
            raise ValueError(f"`color` is {color!r}; expected image or one of {list(named)}")
        colors = task_image(prediction, named[color])
    return Cloud(points, colors, torch.isfinite(depth[0]) & (depth[0] > 0))


def nearest(cloud: Cloud, share: float) -> Cloud:
    """The cloud without its farthest points: `share` (0 to 1) of them stay."""
    if not 0 < share <= 1:
        raise ValueError(f"`share` is {share}; expected above 0, up to 1")
    depths = cloud.points[2][cloud.valid].sort().values
    if len(depths) == 0:
        return cloud
    limit = depths[max(0, math.ceil(share * len(depths)) - 1)]
    return Cloud(cloud.points, cloud.colors, cloud.valid & (cloud.points[2] <= limit))


def sample(cloud: Cloud, most: int) -> tuple[Float[Tensor, "n 3"], UInt8[Tensor, "n 3"]]:
    """At most `most` points and colours, spread evenly over the image, for a viewer.

    As in `panels.write_ply`, x is right, y up and z towards the viewer.
    """
    upright = cloud.points * torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
    height, width = cloud.valid.shape
    step = max(1, math.ceil(math.sqrt(height * width / most)))
    keep = cloud.valid[::step, ::step]
    points = upright[:, ::step, ::step][:, keep]
    return points.T.contiguous(), cloud.colors[:, ::step, ::step][:, keep].T.contiguous()


def save_cloud(path: str, cloud: Cloud) -> int:
    """Writes a `.ply` of the valid points; returns their number."""
    return panels.write_ply(path, cloud.points, cloud.colors, cloud.valid)
