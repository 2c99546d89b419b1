"""Resizing of targets: which source pixel, or which mixture of them, a new pixel takes.

All functions keep pixel centres: u' = (u + 0.5) s - 0.5, the rule that `geometry.scale_intrinsics`
applies to the camera. (Plain "nearest" of most libraries shifts by up to half a source pixel.)
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

# Four neighbouring depths are mixed only while the farthest is at most this much farther.
_DEPTH_RATIO = 1.1


def nearest_index(source: int, target: int) -> Tensor:
    """Index of the source pixel that holds the centre of each target pixel."""
    index = ((torch.arange(target) + 0.5) * (source / target)).floor().to(torch.int64)
    return index.clamp_(0, source - 1)


def resize_nearest(
    value: Shaped[Tensor, "*c h_in w_in"], size: tuple[int, int]
) -> Shaped[Tensor, "*c h w"]:
    """Nearest source pixel, without a shift; values are never mixed."""
    height, width = value.shape[-2:]
    if height != size[0]:
        value = value.index_select(-2, nearest_index(height, size[0]))
    if width != size[1]:
        value = value.index_select(-1, nearest_index(width, size[1]))
    return value


def _pair(source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two neighbouring source indices a target pixel, and the weight of the upper one.

    Outside the outermost centres the weight leaves [0, 1]: the line goes on.
    """
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    lower = position.floor().clamp(0, max(source - 2, 0))
    weight = (position - lower).to(torch.float32)
    index = lower.to(torch.int64)
    return index, (index + 1).clamp(max=source - 1), weight


def resize_depth(
    depth: Float[Tensor, "*c h_in w_in"], size: tuple[int, int]
) -> Float[Tensor, "*c h w"]:
    """Depth at the exact new pixel centres.

    Inverse depth is linear on a plane, so mixing the four neighbours in inverse depth is exact
    there; without it, a resized ground plane has steps, and normals computed from it stripes.
    Where a neighbour is void, or the four differ by more than 10 %, the nearest pixel counts:
    there are no pixels between foreground and background.
    """
    if tuple(depth.shape[-2:]) == tuple(size):
        return depth
    top, bottom, down = _pair(depth.shape[-2], size[0])
    left, right, across = _pair(depth.shape[-1], size[1])
    down = down[:, None]
    rows = depth.index_select(-2, top), depth.index_select(-2, bottom)
    corners = [1 / row.index_select(-1, column) for row in rows for column in (left, right)]
    upper = torch.lerp(corners[0], corners[1], across)
    lower = torch.lerp(corners[2], corners[3], across)
    mixed = torch.lerp(upper, lower, down)
    largest = torch.maximum(
        torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3])
    )
    least = torch.minimum(
        torch.minimum(corners[0], corners[1]), torch.minimum(corners[2], corners[3])
    )
    smooth = (largest < torch.inf) & (largest <= _DEPTH_RATIO * least)  # a hole's inverse is inf
    return torch.where(smooth, 1 / mixed, resize_nearest(depth, size))


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
