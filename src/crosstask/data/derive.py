"""Targets computed from other targets, after every geometric transform.

Normals from metric depth with the sample's own camera, edges from label boundaries. Computing them
last keeps them exact under resizing, cropping and mirroring: depth and camera have moved already.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from crosstask import geometry
from crosstask.data.sample import KEYS, DataError


def derive(
    sample: Mapping[str, Any], derived: Mapping[str, str], smoothing: int = 0
) -> dict[str, Any]:
    """The sample with the targets named in `derived` ({"normals": "depth", ...}) added.

    Args:
        sample: After the transform.
        derived: Origin by target.
        smoothing: See `smooth_depth`; for the normals of noisy sensors.
    """
    result = dict(sample)
    for name, origin in derived.items():
        if (name, origin) == ("normals", "depth"):
            height, width = result["image"].shape[-2:]
            depth = smooth_depth(result["depth"], smoothing)
            result[name] = depth_to_normals(depth, result["intrinsics"], (height, width))
        elif (name, origin) == ("edges", "segmentation"):
            result[name] = labels_to_edges(result["segmentation"])
        else:
            raise DataError(f"cannot derive {name!r} from {origin!r}")
    return result


def depth_to_normals(
    depth: Float[Tensor, "1 h w"], intrinsics: Float[Tensor, "3 3"], size: tuple[int, int]
) -> Float[Tensor, "3 h w"]:
    """Normals of a depth map, (0,0,0) at borders, holes and depth jumps.

    Args:
        depth: Metres, 0 where unknown.
        intrinsics: Camera in pixels of the picture.
        size: Height and width of the picture; the depth map may have another size.
    """
    if intrinsics[0, 0] <= 0:
        return torch.zeros(3, *depth.shape[-2:])
    height, width = depth.shape[-2:]
    if (height, width) != size:
        intrinsics = geometry.scale_intrinsics(intrinsics, width / size[1], height / size[0])
    normals, valid = geometry.normals_from_depth(depth[None], intrinsics[None])
    return torch.where(valid[0], normals[0], 0.0).to(torch.float32)


def smooth_depth(
    depth: Float[Tensor, "1 h w"], radius: int, ratio: float = 1.1
) -> Float[Tensor, "1 h w"]:
    """Mean inverse depth over a square window, for the normals of sensors with coarse depth steps.

    Inverse depth is linear on a plane, so planes stay where they are. Where the window holds a hole,
    leaves the map, or its depths differ by more than `ratio`, the depth stays as it is.
    """
    if radius < 1:
        return depth
    side = 2 * radius + 1
    if min(depth.shape[-2:]) < side:
        return depth
    inverse = torch.where(depth > 0, 1 / depth, 0.0)[None]
    least = -F.max_pool2d(-inverse, side, stride=1)
    largest = F.max_pool2d(inverse, side, stride=1)
    mean = F.avg_pool2d(inverse, side, stride=1)
    flat = (least > 0) & (largest <= ratio * least)
    result = depth.clone()
    inner = result[:, radius:-radius, radius:-radius]
    inner.copy_(torch.where(flat[0], 1 / mean[0], inner))
    return result


def labels_to_edges(segmentation: Int[Tensor, "h w"]) -> Float[Tensor, "1 h w"]:
    """Semantic edges: the two pixels beside a class boundary; void beside unlabelled pixels."""
    return geometry.edges_from_labels(segmentation, void=int(KEYS["segmentation"].void or 0))
