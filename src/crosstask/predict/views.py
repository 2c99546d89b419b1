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
from crosstask.predict.model import Prediction
from crosstask.tasks import Normals, Task

ASSUMED_FIELD_OF_VIEW = 60.0
"""Degrees across the image, for the point cloud of a camera that nobody named."""
_WORDS = (("left", "right"), ("up", "down"), ("towards the camera", "away from the camera"))
_SLIGHT = 0.35  # a component of the normal below this (20 degrees) is not worth a word


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


def unit_of(prediction: Prediction, task: Task) -> str:
    """ "metres" or "up to scale" of a task that measures lengths."""
    known = prediction.depth_kind == "metric" and getattr(task, "kind", "metric") == "metric"
    return "metres" if known else "up to scale"


def task_image(prediction: Prediction, task: Task) -> UInt8[Tensor, "3 h w"]:
    """The task's map in its own colours, at the image's size."""
    value = prediction[task.name]
    return task.colorize(value, **task.color_scale(value))


def task_legend(prediction: Prediction, task: Task, width: int, size: int) -> Image.Image:
    """What the colours of `task_image` mean; width and text size in pixels."""
    return legend(task, [prediction[task.name]], width, size, unit_of(prediction, task))


def class_names(prediction: Prediction, task: Task) -> list[str]:
    """Names of the classes that the map shows, in the table's order; none for other tasks."""
    if not hasattr(task, "classes"):
        return []
    names = task.classes.names
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
    return [Reading(task.name, _words(prediction, task, row, column)) for task in tasks]


def _words(prediction: Prediction, task: Task, row: int, column: int) -> str:
    value = prediction[task.name]
    at = value[..., row, column]
    if hasattr(task, "classes"):
        index = int(at)
        names = task.classes.names
        return names[index].replace("_", " ") if 0 <= index < len(names) else "no class"
    if isinstance(task, Normals):
        return describe_normal(at)
    if task.color_scale(value):
        unit = unit_of(prediction, task)
        return f"{float(at[0]):.2f} {'m' if unit == 'metres' else f'({unit})'}"
    return f"probability {float(at[0]):.2f}"


def describe_normal(normal: Float[Tensor, "3"]) -> str:
    """Where a surface faces, in words, and its unit vector (x right, y down, z forward)."""
    x, y, z = (float(v) for v in normal)
    if math.sqrt(x * x + y * y + z * z) < 0.5:
        return "no direction"
    order = sorted(zip((x, y, z), _WORDS, strict=True), key=lambda pair: -abs(pair[0]))
    words = [names[int(v > 0)] for v, names in order if abs(v) > _SLIGHT]
    return f"faces {' and '.join(words)} (x {x:+.2f}, y {y:+.2f}, z {z:+.2f})"


def depth_task(tasks: Sequence[Task]) -> Task | None:
    """The first task whose values are distances along the optical axis."""
    return next((task for task in tasks if task.name.startswith("depth")), None)


def camera_of(prediction: Prediction) -> Float[Tensor, "3 3"]:
    """The prediction's camera; where there is none, one of `ASSUMED_FIELD_OF_VIEW`."""
    if prediction.intrinsics is not None:
        return prediction.intrinsics
    height, width = prediction.image.shape[-2:]
    focal = 0.5 * width / math.tan(math.radians(ASSUMED_FIELD_OF_VIEW / 2))
    return torch.tensor(
        [[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]
    )


def point_cloud(prediction: Prediction, tasks: Sequence[Task], color: str = "image") -> Cloud:
    """The scene in space.

    Args:
        color: "image", or the name of the task whose colours the points get.

    Raises:
        ValueError: no task measures depth, or `color` is no task.
    """
    measured = depth_task(tasks)
    if measured is None:
        raise ValueError(
            f"`tasks` is {[t.name for t in tasks]}; expected one named depth for a point cloud"
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
