"""Resizing of targets: which source pixel, or which mixture of them, a new pixel takes.

All functions keep pixel centres: u' = (u + 0.5) s - 0.5, the rule that `geometry.scale_intrinsics`
applies to the camera. (Plain "nearest" of most libraries shifts by up to half a source pixel.)
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

# Two depths z and 1.1 z in equal parts: 0.1^2 / (4 x 1.1).
_SPREAD = 0.0023


def nearest_index(source: int, target: int) -> Tensor:
    """Index of the source pixel that holds the centre of each target pixel."""
    index = ((torch.arange(target) + 0.5) * (source / target)).floor().to(torch.int64)
    return index.clamp_(0, source - 1)


def resize_nearest(
    value: Shaped[Tensor, "*c h_in w_in"], size: tuple[int, int]
) -> Shaped[Tensor, "*c h w"]:
    """Nearest source pixel, without a shift; values are never mixed."""
    height, width = value.shape[-2:]
    if (height, width) == tuple(size):
        return value
    if value.dtype in (torch.float32, torch.uint8):
        maps = value.reshape(1, -1, height, width)
        resized = F.interpolate(maps, size=list(size), mode="nearest-exact")
        return resized.reshape(*value.shape[:-2], *size)
    rows, columns = nearest_index(height, size[0]), nearest_index(width, size[1])
    return value.index_select(-2, rows).index_select(-1, columns)


def resize_depth(
    depth: Float[Tensor, "*c h_in w_in"], size: tuple[int, int]
) -> Float[Tensor, "*c h w"]:
    """Depth at the exact new pixel centres.

    Inverse depth is linear on a plane, so mixing the four neighbours in inverse depth is exact
    there; without it, a resized ground plane has steps, and normals computed from it stripes.
    Where a neighbour is void, or the four spread over more than about 10 %, the nearest pixel
    counts: there are no pixels between foreground and background. The measure of spread is
    E[z] E[1/z] - 1, the relative variance of the depths under the bilinear weights.
    """
    if tuple(depth.shape[-2:]) == tuple(size):
        return depth
    maps = depth.reshape(1, -1, *depth.shape[-2:])
    mean = _bilinear(maps, size)
    inverse = _bilinear(torch.where(maps > 0, maps.reciprocal(), 0.0), size)
    smooth = (mean * inverse).sub_(1).abs_() <= _SPREAD
    if bool((maps <= 0).any()):  # a hole and a jump may cancel out
        smooth &= _bilinear((maps > 0).to(maps.dtype), size) > 1 - 1e-5
    result = torch.where(smooth, inverse.reciprocal_(), resize_nearest(maps, size))
    return result.reshape(*depth.shape[:-2], *size)


def _bilinear(
    maps: Float[Tensor, "1 c h_in w_in"], size: tuple[int, int]
) -> Float[Tensor, "1 c h w"]:
    return F.interpolate(maps, size=list(size), mode="bilinear", align_corners=False)


def resize_edges(
    edges: Float[Tensor, "*c h_in w_in"], size: tuple[int, int], void: float = 255.0
) -> Float[Tensor, "*c h w"]:
    """Edges that survive shrinking: a new pixel is an edge if any source pixel below it is one.

    Enlarging takes the nearest pixel. A pixel is void where every source pixel is.
    """
    height, width = edges.shape[-2:]
    if size[0] >= height and size[1] >= width:
        return resize_nearest(edges, size)
    known = torch.where(edges == void, -1.0, edges)
    pooled = F.adaptive_max_pool2d(known.reshape(1, -1, height, width), list(size))
    pooled = pooled.reshape(*edges.shape[:-2], *size)
    return torch.where(pooled < 0, void, pooled)
