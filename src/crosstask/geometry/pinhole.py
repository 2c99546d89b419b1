"""Pinhole geometry as pure functions on tensors.

Conventions: camera axes x right, y down, z forward; depth is measured along z in metres; integer
pixel coordinates lie at pixel centres, so the left edge of the image is u = -0.5.
"""

import torch
from jaxtyping import Bool, Float, Integer, Shaped
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

    The flipped image is that of a mirrored world, in which x points left to right again.
    """
    flipped = intrinsics.clone()
    flipped[..., 0, 2] = width - 1 - intrinsics[..., 0, 2]
    flipped[..., 0, 1] = -intrinsics[..., 0, 1]
    return flipped


def turn_intrinsics(
    intrinsics: Float[Tensor, "*b 3 3"], orientation: int, height: int, width: int
) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics after a stored image was turned upright (`crosstask.media.orientation`).

    Focal lengths stay positive: as with a flip, the camera's axes go right and down in the upright
    image. An unknown camera (focal length 0) stays unknown.

    Args:
        orientation: EXIF orientation, 1 to 8.
        height, width: of the stored image, whose pixels `intrinsics` counts.
    """
    right, down = float(width - 1), float(height - 1)
    pixels = {
        2: ((-1.0, 0.0, right), (0.0, 1.0, 0.0)),
        3: ((-1.0, 0.0, right), (0.0, -1.0, down)),
        4: ((1.0, 0.0, 0.0), (0.0, -1.0, down)),
        5: ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
        6: ((0.0, -1.0, down), (1.0, 0.0, 0.0)),
        7: ((0.0, -1.0, down), (-1.0, 0.0, right)),
        8: ((0.0, 1.0, 0.0), (-1.0, 0.0, right)),
    }.get(orientation)
    if pixels is None:
        return intrinsics
    move = intrinsics.new_tensor([*pixels, (0.0, 0.0, 1.0)])
    axes = move.clone()
    axes[:2, 2] = 0.0
    turned = move @ intrinsics @ axes.mT
    return torch.where(intrinsics[..., :1, :1] > 0, turned, intrinsics)


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
    hole = ~((depth > 0) & (depth < torch.inf))
    solid = torch.where(hole, 1.0, depth.float())
    if min(depth.shape[-2:]) < 3:
        return solid.new_zeros(len(depth), 3, *depth.shape[-2:]), torch.zeros_like(hole)
    if image is None:
        normal = _central_normal(solid, intrinsics)
    else:
        normal = _guided_normal(unproject(solid, intrinsics), image.float(), falloff)
    x, y, z = normal.split(1, dim=1)
    length = x.square().addcmul_(y, y).addcmul_(z, z).sqrt_()
    valid = _continuous(solid, hole, discontinuity) & (length > 0) & (length < torch.inf)
    normal = normal * length.clamp_min(torch.finfo(length.dtype).tiny).reciprocal().mul_(valid)
    return F.pad(normal, (1, 1, 1, 1)), F.pad(valid, (1, 1, 1, 1))


def _central_normal(
    depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 3 h2 w2"]:
    """Sum of the eight cross products around each inner pixel, unit weights, in closed form.

    The sum telescopes to (right - left) x (up - down) and the same for the two diagonals. In pixel
    coordinates p = z (u, v, 1) these products are polynomials in sums and differences of opposite
    depths; K^-1 maps p to camera coordinates, and (A p) x (A q) = det A A^-T (p x q) with A = K^-1
    maps the products: the normal is K^T times them, up to a positive factor. It always faces the
    camera: its product with the point is minus a sum of products of depths.
    """
    first = [_neighbour(depth, offset) for offset in _RING[:4]]
    second = [_neighbour(depth, (-right, -down)) for right, down in _RING[:4]]
    total = [a + b for a, b in zip(first, second, strict=True)]
    step = [a - b for a, b in zip(first, second, strict=True)]
    forth, back = step[1] * total[3], total[1] * step[3]
    x = torch.addcmul(forth - back, step[0], total[2])
    up = torch.addcmul(forth + back, total[0], step[2])  # minus y
    weight = torch.addcmul(total[0] * total[2], total[1], total[3], value=2)
    height, width = depth.shape[-2:]
    u = torch.arange(1, width - 1, device=depth.device, dtype=depth.dtype)
    v = torch.arange(1, height - 1, device=depth.device, dtype=depth.dtype)[:, None]
    fx, skew, cx = intrinsics[:, 0, :, None, None, None].to(depth.dtype).unbind(1)
    fy, cy = intrinsics[:, 1, 1:, None, None, None].to(depth.dtype).unbind(1)
    along = torch.addcmul(weight, u - cx, x).addcmul(cy - v, up)  # minus z
    return torch.cat([fx * x, torch.addcmul(skew * x, -fy, up), -along], dim=1)


def _cross(
    first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Cross product over axis 1; by whole planes, ten times faster than `torch.linalg.cross`."""
    a, b = first.unbind(1), second.unbind(1)
    planes = [a[i] * b[j] - a[j] * b[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return torch.stack(planes, dim=1)


def _guided_normal(
    points: Float[Tensor, "b 3 h w"], colour: Float[Tensor, "b 3 h w"], falloff: float | int
) -> Float[Tensor, "b 3 h2 w2"]:
    """Sum of the eight cross products, each neighbour weighted by the likeness of its colour."""
    centre, own = _neighbour(points, (0, 0)), _neighbour(colour, (0, 0))
    ring = [
        (_neighbour(points, offset) - centre)
        * (-falloff * (_neighbour(colour, offset) - own).norm(dim=1, keepdim=True)).exp()
        for offset in _RING
    ]
    normal = torch.zeros_like(centre)
    for k in range(8):  # k and k + 2 are a quarter turn apart
        normal = normal + _cross(ring[k], ring[(k + 2) % 8])
    return torch.where((normal * centre).sum(1, keepdim=True) > 0, -normal, normal)


def _continuous(
    depth: Float[Tensor, "b 1 h w"], hole: Bool[Tensor, "b 1 h w"], threshold: float | int
) -> Bool[Tensor, "b 1 h2 w2"]:
    """Where the 3x3 neighbourhood of an inner pixel has no hole and no step in inverse depth."""
    inverse = torch.where(hole, torch.nan, 1 / depth)  # no comparison holds for a hole
    pairs = [
        _neighbour(inverse, (right, down)) + _neighbour(inverse, (-right, -down))
        for right, down in _RING[:4]
    ]
    centre = _neighbour(inverse, (0, 0))
    largest = torch.maximum(torch.maximum(pairs[0], pairs[1]), torch.maximum(pairs[2], pairs[3]))
    least = torch.minimum(torch.minimum(pairs[0], pairs[1]), torch.minimum(pairs[2], pairs[3]))
    return (largest <= (2 + threshold) * centre) & (least >= (2 - threshold) * centre)


def _neighbour(
    value: Shaped[Tensor, "b c h w"], offset: tuple[int, int]
) -> Shaped[Tensor, "b c h2 w2"]:
    """For every inner pixel the value of its neighbour at (right, down) `offset`."""
    right, down = offset
    height, width = value.shape[-2:]
    return value[..., 1 + down : height - 1 + down, 1 + right : width - 1 + right]


def edges_from_labels(
    segmentation: Integer[Tensor, "*b h w"], void: int = 255
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
