"""Targets computed from other targets, after every geometric transform.

Normals from metric depth with the sample's own camera, edges from label boundaries. Computing them
last keeps them exact under resizing, cropping and mirroring: depth and camera have moved already.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from crosstask import geometry
from crosstask.data.sample import DataError
from crosstask.tasks.segmentation import Segmentation

JOINED = "joined_labels"  # key of labels whose thin void margins are closed, for edges alone


def derive(
    sample: Mapping[str, Any],
    derived: Mapping[str, str],
    smoothing: int = 0,
    void: int = int(Segmentation.target.void),
) -> dict[str, Any]:
    """The sample with the targets named in `derived` ({"normals": "depth", ...}) added.

    Args:
        sample: After the transform; its entry `zoom` is what depth was divided by, see `RandomScaleCrop`.
        derived: Origin by target.
        smoothing: See `smooth_depth`; for the normals of noisy sensors.
        void: Of the labels.
    """
    result = dict(sample)
    for name, origin in derived.items():
        if (name, origin) == ("normals", "depth"):
            height, width = _image_size(result, result["depth"])
            depth = smooth_depth(result["depth"], smoothing)
            camera = result["intrinsics"].clone()
            camera[:2, :2] *= result.get(
                "zoom", 1.0
            )  # depth was divided by it, the scene did not turn
            result[name] = depth_to_normals(depth, camera, (height, width))
        elif (name, origin) == ("edges", "segmentation"):
            result[name] = labels_to_edges(result.get(JOINED, result["segmentation"]), void)
        else:
            raise DataError(f"cannot derive {name!r} from {origin!r}")
    return result


def _image_size(sample: Mapping[str, Any], depth: Tensor) -> tuple[int, int]:
    """Height and width, in the pixels of the camera, of the part of the input that the depth shows."""
    size = sample["image"].shape[-2:]
    if "placed" in sample and depth.shape[-2:] != size:  # depth is as stored
        size = sample["placed"].tolist()
    return int(size[0]), int(size[1])


def depth_to_normals(
    depth: Float[Tensor, "1 h w"], intrinsics: Float[Tensor, "3 3"], size: tuple[int, int]
) -> Float[Tensor, "3 h w"]:
    """Normals of a depth map, (0,0,0) at borders, holes and depth jumps.

    Args:
        depth: Metres, 0 where unknown.
        intrinsics: Camera in pixels of the image.
        size: Height and width of the image; the depth map may have another size.
    """
    if intrinsics[0, 0] <= 0:
        return torch.zeros(3, *depth.shape[-2:])
    height, width = depth.shape[-2:]
    if (height, width) != size:
        intrinsics = geometry.scale_intrinsics(intrinsics, width / size[1], height / size[0])
    return geometry.normals_from_depth(depth[None], intrinsics[None])[0][0]


def smooth_depth(
    depth: Float[Tensor, "1 h w"], radius: int, spread: float = 0.0023
) -> Float[Tensor, "1 h w"]:
    """Mean inverse depth over a square window, for the normals of sensors with coarse depth steps.

    Inverse depth is linear on a plane, so planes stay where they are. Where the window holds a hole
    or leaves the map, or the relative variance E[z] E[1/z] - 1 of its depths is above `spread`, the
    depth stays as it is.
    """
    side = 2 * radius + 1
    if radius < 1 or min(depth.shape[-2:]) < side:
        return depth
    mean = _window_mean(depth, side)
    inverse = _window_mean(torch.where(depth > 0, 1 / depth, 0.0), side)
    whole = _window_mean((depth > 0).to(depth.dtype), side) > 1 - 0.5 / side**2
    flat = whole & ((mean * inverse - 1).abs() <= spread)
    result = depth.clone()
    inner = result[:, radius:-radius, radius:-radius]
    inner.copy_(torch.where(flat, 1 / inverse, inner))
    return result


def _window_mean(value: Float[Tensor, "1 h w"], side: int) -> Float[Tensor, "1 h2 w2"]:
    """Mean over every square window inside the map, as the mean of rows of the mean of columns."""
    for axis in (-1, -2):
        size = value.shape[axis] - side + 1
        total = value.narrow(axis, 0, size).clone()
        for start in range(1, side):
            total += value.narrow(axis, start, size)
        value = total / side
    return value


def labels_to_edges(
    segmentation: Integer[Tensor, "h w"], void: int = int(Segmentation.target.void)
) -> Float[Tensor, "1 h w"]:
    """Semantic edges: the two pixels beside a class boundary; void beside unlabelled pixels."""
    return geometry.edges_from_labels(segmentation, void)


def close_margins(
    segmentation: Integer[Tensor, "h w"], width: int, void: int = int(Segmentation.target.void)
) -> Integer[Tensor, "h w"]:
    """Labels in which thin void margins take the nearest label; wider void stays.

    A void pixel is in a margin if no disc of `width` + 1 pixels of void covers it. Beyond the border
    everything counts as void.
    """
    from scipy import ndimage

    empty = (segmentation == void).numpy()
    if width < 1 or not empty.any() or empty.all():
        return segmentation
    square = (np.arange(width + 1) - width / 2) ** 2
    disc = square[:, None] + square <= ((width + 1) / 2) ** 2
    framed = np.pad(empty, width + 1, constant_values=True)
    wide = ndimage.binary_opening(framed, disc)[width + 1 : -width - 1, width + 1 : -width - 1]
    rows, columns = ndimage.distance_transform_edt(
        empty, return_distances=False, return_indices=True
    )
    nearest = segmentation.numpy()[rows, columns]
    return torch.from_numpy(np.where(empty & ~wide, nearest, segmentation.numpy()))
