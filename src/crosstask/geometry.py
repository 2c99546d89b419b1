"""Pinhole geometry as pure functions on tensors.

Conventions: camera axes x right, y down, z forward; depth is measured along z in metres; integer
pixel coordinates lie at pixel centres, so the left edge of the image is u = -0.5.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

# The eight neighbours in the order of a walk around the pixel, as (right, down) offsets.
_RING = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))


def scale_intrinsics(
    intrinsics: Float[Tensor, "*b 3 3"], sx: float | int, sy: float | int
) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics after the image was resized by `sx` horizontally and `sy` vertically.

    Pixel centres move as u' = (u + 0.5) sx - 0.5.
    """
    row_x = intrinsics[..., 0, :] * sx
    row_y = intrinsics[..., 1, :] * sy
    row_x = torch.cat([row_x[..., :2], row_x[..., 2:] + 0.5 * (sx - 1)], dim=-1)
    row_y = torch.cat([row_y[..., :2], row_y[..., 2:] + 0.5 * (sy - 1)], dim=-1)
    return torch.stack([row_x, row_y, intrinsics[..., 2, :]], dim=-2)


def crop_intrinsics(
    intrinsics: Float[Tensor, "*b 3 3"], top: float | int, left: float | int
) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics after `top` rows and `left` columns were cut off (negative values: padding)."""
    shifted = intrinsics.clone()
    shifted[..., 0, 2] -= left
    shifted[..., 1, 2] -= top
    return shifted


def flip_intrinsics(intrinsics: Float[Tensor, "*b 3 3"], width: int) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics after a horizontal flip: only the principal point's column is mirrored.

    The flipped picture is that of a mirrored world, in which x points left to right again.
    """
    flipped = intrinsics.clone()
    flipped[..., 0, 2] = width - 1 - intrinsics[..., 0, 2]
    flipped[..., 0, 1] = -intrinsics[..., 0, 1]
    return flipped


def unproject(
    depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 3 h w"]:
    """Point in camera coordinates (metres) seen by every pixel: depth times K^-1 (u, v, 1)."""
    height, width = depth.shape[-2:]
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=depth.dtype),
        torch.arange(width, device=depth.device, dtype=depth.dtype),
        indexing="ij",
    )
    fx, skew, cx = intrinsics[:, 0, :, None, None].to(depth.dtype).unbind(1)
    fy, cy = intrinsics[:, 1, 1:, None, None].to(depth.dtype).unbind(1)
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx
    return depth * torch.stack([x, y, torch.ones_like(x)], dim=1)


def project(
    points: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 2 h w"]:
    """Pixel coordinates (u, v) of points in camera coordinates.

    Points with z closer to the camera plane than 1e-6 are divided by 1e-6 with z's sign: the
    result stays finite. The caller decides what to do with points behind the camera.
    """
    x, y, z = points.unbind(1)
    z = torch.where(z.abs() < 1e-6, torch.where(z < 0, -1e-6, 1e-6).to(z.dtype), z)
    fx, skew, cx = intrinsics[:, 0, :, None, None].to(points.dtype).unbind(1)
    fy, cy = intrinsics[:, 1, 1:, None, None].to(points.dtype).unbind(1)
    return torch.stack([(fx * x + skew * y) / z + cx, fy * y / z + cy], dim=1)


def normals_from_depth(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 3 3"],
    image: Float[Tensor, "b 3 h w"] | None = None,
    discontinuity: float | int = 0.05,
    falloff: float | int = 25.5,
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Surface normals from metric depth by cross products over the 8 neighbours.

    Neighbour differences are multiplied pairwise around the pixel (right x up, up x left, ..., and
    the four diagonal pairs) and summed, which weights them by area; a plane gives its exact normal
    at any slope. The result faces the camera: n . P < 0, so a frontal wall has n = (0, 0, -1).

    Args:
        depth: metres along z; not finite or <= 0 is a hole.
        intrinsics: of the map itself, scaled and cropped with it.
        image: RGB in [0, 1]. If given, a neighbour counts with exp(-falloff |difference of colour|)
            (the edge-aware weights of Yang et al., AAAI 2018), so that surfaces that meet at a
            colour edge mix less.
        discontinuity: a pixel is invalid where the inverse depth of two opposite neighbours leaves
            the straight line through it by more than this fraction of its own inverse depth.
            Inverse depth is linear on a plane, so grazing ground passes and jumps do not.
        falloff: of the colour weights; 25.5 is the paper's 0.1 for colours in 0..255.

    Returns:
        Unit normals, zero where invalid, and the validity: False on the outermost pixels, at holes,
        next to them and at depth discontinuities.
    """
    hole = ~(torch.isfinite(depth) & (depth > 0))
    solid = torch.where(hole, 1.0, depth.float())
    points = unproject(solid, intrinsics)
    ring = [_shift(points, offset) - points for offset in _RING]
    if image is not None:
        colour = image.float()
        ring = [
            step * (-falloff * (_shift(colour, offset) - colour).norm(dim=1, keepdim=True)).exp()
            for step, offset in zip(ring, _RING, strict=True)
        ]
    normal = torch.zeros_like(points)
    for k in range(8):  # k and k + 2 are a quarter turn apart
        normal = normal + torch.linalg.cross(ring[k], ring[(k + 2) % 8], dim=1)
    length = normal.norm(dim=1, keepdim=True)
    toward = torch.where((normal * points).sum(1, keepdim=True) > 0, -1.0, 1.0)
    valid = _continuous(solid, hole, discontinuity) & torch.isfinite(length) & (length > 0)
    normal = toward * normal / length.clamp_min(torch.finfo(length.dtype).tiny)
    return torch.where(valid, normal, 0.0), valid


def _continuous(
    depth: Float[Tensor, "b 1 h w"], hole: Bool[Tensor, "b 1 h w"], threshold: float | int
) -> Bool[Tensor, "b 1 h w"]:
    """Where the 3x3 neighbourhood lies inside the map, has no hole and no step in inverse depth."""
    holes = F.max_pool2d(F.pad(hole.float(), (1, 1, 1, 1), value=1.0), 3, stride=1) > 0
    inverse = 1 / depth
    valid = ~holes
    for offset in _RING[:4]:
        opposite = (-offset[0], -offset[1])
        bend = _shift(inverse, offset) + _shift(inverse, opposite) - 2 * inverse
        valid = valid & (bend.abs() <= threshold * inverse)
    return valid


def _shift(value: Float[Tensor, "b c h w"], offset: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Value of the neighbour at (right, down) `offset`; the border repeats."""
    right, down = offset
    height, width = value.shape[-2:]
    padded = F.pad(value, (1, 1, 1, 1), mode="replicate")
    return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def edges_from_labels(
    segmentation: Int[Tensor, "*b h w"], void: int = 255
) -> Float[Tensor, "*b 1 h w"]:
    """Semantic edges: 1 on the two pixels beside a boundary between two classes (4-neighbours).

    A void pixel is void (255) in the result too, and so is a labelled pixel beside it that touches
    no other class: whether a boundary runs there is unknown.
    """
    known = segmentation != void
    edge = torch.zeros_like(known)
    unsure = ~known
    for dim in (-2, -1):
        size = segmentation.shape[dim] - 1
        first, second = segmentation.narrow(dim, 0, size), segmentation.narrow(dim, 1, size)
        both = known.narrow(dim, 0, size) & known.narrow(dim, 1, size)
        differ = both & (first != second)
        one = ~both
        for start in (0, 1):
            edge.narrow(dim, start, size).logical_or_(differ)
            unsure.narrow(dim, start, size).logical_or_(one)
    result = edge.float()
    result[unsure & ~edge] = 255.0
    return result.unsqueeze(-3)
