"""Two kinds of solids make the whole street: hulls (eight half-spaces) and rounds (ellipsoids and rods).

Both are convex, so that a ray meets each in one interval, and both come out of constructors that work on (batch, number)
tensors. Local axes: x right, y down, z ahead; a yaw turns z towards x. Heights are positive upwards.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_FAR = 1e4


@dataclass(frozen=True)
class _Stack:
    @classmethod
    def cat(cls, parts: "list[Self]") -> Self:
        """All parts of each scene in one tensor per field, in their order."""
        return cls(
            *(
                torch.cat([getattr(part, item.name) for part in parts], dim=1)
                for item in fields(cls)
            )
        )


@dataclass(frozen=True)
class Hulls(_Stack):
    """Convex solids {p: normals . p <= offsets}, in world coordinates, with the frame they were built in."""

    normals: Float[Tensor, "b n 8 3"]
    offsets: Float[Tensor, "b n 8"]
    frame: Float[Tensor, "b n 5"]
    """cosine and sine of the yaw, then the centre of the base: x, y, z."""
    corners: Float[Tensor, "b n 8 3"]
    present: Bool[Tensor, "b n"]
    material: Float[Tensor, "b n columns"]


@dataclass(frozen=True)
class Rounds(_Stack):
    """Solids {p: q = matrix (p - center), q_x^2 + q_z^2 + roundness q_y^2 <= 1, |q_y| <= 1}.

    roundness 1 is an ellipsoid, 0 a cylinder with flat ends.
    """

    center: Float[Tensor, "b n 3"]
    matrix: Float[Tensor, "b n 3 3"]
    roundness: Float[Tensor, "b n"]
    corners: Float[Tensor, "b n 8 3"]
    present: Bool[Tensor, "b n"]
    material: Float[Tensor, "b n columns"]


@dataclass(frozen=True)
class Shadows(_Stack):
    """Dark patches on the ground: |matrix (p - center)| < 1 in the Euclidean norm, or the largest one where ``square``."""

    center: Float[Tensor, "b n 2"]
    matrix: Float[Tensor, "b n 2 2"]
    square: Bool[Tensor, "b n"]
    sharpness: Float[Tensor, "b n"]
    sun: Float[Tensor, "b n"]
    """share of the sun that is kept off; sky: the same of the sky's light."""
    sky: Float[Tensor, "b n"]
    corners: Float[Tensor, "b n 8 3"]
    present: Bool[Tensor, "b n"]


def _signs(device: torch.device) -> Float[Tensor, "8 3"]:
    unit = torch.tensor((-1.0, 1.0), device=device)
    return torch.cartesian_prod(unit, unit, unit)


def turn(
    points: Float[Tensor, "*shape 3"], yaw: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape 3"]:
    """Turn local points about the vertical axis; yaw is broadcast to the points."""
    cosine, sine = yaw.cos(), yaw.sin()
    x, y, z = points.unbind(-1)
    return torch.stack((cosine * x + sine * z, y, cosine * z - sine * x), dim=-1)


def _box(
    middle: Float[Tensor, "b n 3"], half: Float[Tensor, "b n 3"], yaw: Float[Tensor, "b n"]
) -> Float[Tensor, "b n 8 3"]:
    points = half[:, :, None] * _signs(half.device)
    return middle[:, :, None] + turn(points, yaw[..., None].expand(points.shape[:-1]))


def hulls(
    base: Float[Tensor, "b n 3"],
    yaw: Float[Tensor, "b n"],
    half: Float[Tensor, "b n 2"],
    height: Float[Tensor, "b n"],
    present: Bool[Tensor, "b n"],
    rows: Float[Tensor, "b n columns"],
    *,
    lean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    slope: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Hulls:
    """Boxes with optional slanted walls and a pair of slopes on top (a roof; a bonnet and a boot).

    Args:
        base: middle of the lower face. half: half extents along local x and z. height: metres.
        lean: tangent by which the walls lean inwards: at the sides (x), ahead (+z), behind (-z).
        slope: (share along x: 1 or 0, height at which the slopes meet the walls, rise per metre inwards), each (b, n).
    """
    zero, one = torch.zeros_like(height), torch.ones_like(height)
    half_x, half_z = half.unbind(-1)
    along, shoulder, rise = (one, zero + _FAR, zero) if slope is None else slope
    across = 1 - along
    reach = shoulder + rise * (along * half_x + across * half_z)
    sides, ahead, behind = (one * tangent for tangent in lean)
    table = (  # x, up and z of the normal, and the offset from the base's middle
        (one, sides, zero, half_x),
        (-one, sides, zero, half_x),
        (zero, ahead, one, half_z),
        (zero, behind, -one, half_z),
        (zero, one, zero, height),
        (zero, -one, zero, zero),
        (rise * along, one, rise * across, reach),
        (-rise * along, one, -rise * across, reach),
    )
    local = torch.stack([torch.stack((x, -up, z), dim=-1) for x, up, z, _ in table], dim=2)
    length = local.norm(dim=-1)
    normals = turn(local, yaw[..., None].expand(length.shape)) / length[..., None]
    offsets = torch.stack([row[3] for row in table], dim=2) / length
    offsets = offsets + (normals * base[:, :, None]).sum(-1)
    middle = base - torch.stack((zero, height / 2, zero), dim=-1)
    corners = _box(middle, torch.stack((half_x, height / 2, half_z), dim=-1), yaw)
    frame = torch.cat((yaw.cos()[..., None], yaw.sin()[..., None], base), dim=-1)
    return Hulls(normals, offsets, frame, corners, present, rows)


def ellipsoids(
    center: Float[Tensor, "b n 3"],
    radii: Float[Tensor, "b n 3"],
    yaw: Float[Tensor, "b n"],
    present: Bool[Tensor, "b n"],
    rows: Float[Tensor, "b n columns"],
) -> Rounds:
    """Ellipsoids with vertical axis and the given radii along local x, y, z."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    cosine, sine = yaw.cos(), yaw.sin()
    axes = torch.stack(
        (cosine, zero, -sine, zero, one, zero, sine, zero, cosine), dim=-1
    ).unflatten(-1, (3, 3))
    return Rounds(center, axes / radii[..., None], one, _box(center, radii, yaw), present, rows)


def rods(
    start: Float[Tensor, "b n 3"],
    end: Float[Tensor, "b n 3"],
    radius: Float[Tensor, "b n"],
    present: Bool[Tensor, "b n"],
    rows: Float[Tensor, "b n columns"],
) -> Rounds:
    """Cylinders with flat ends from ``start`` to ``end``: posts, limbs, wheels, disks."""
    axis = (end - start) / 2
    half = axis.norm(dim=-1, keepdim=True)
    along = axis / half
    upright = along[..., 1:2].abs() > 0.9
    helper = torch.cat(
        (upright.to(axis.dtype), 1 - upright.to(axis.dtype), torch.zeros_like(half)), dim=-1
    )
    first = torch.linalg.cross(helper, along)
    first = first / first.norm(dim=-1, keepdim=True)
    second = torch.linalg.cross(first, along)
    wide = radius[..., None]
    matrix = torch.stack((first / wide, along / half, second / wide), dim=-2)
    center = (start + end) / 2
    frame = torch.stack((first * wide, axis, second * wide), dim=-2)
    corners = center[:, :, None] + (_signs(axis.device)[..., None] * frame[:, :, None]).sum(-2)
    return Rounds(center, matrix, torch.zeros_like(radius), corners, present, rows)


def shadows(
    center: Float[Tensor, "b n 2"],
    first: Float[Tensor, "b n 2"],
    second: Float[Tensor, "b n 2"],
    present: Bool[Tensor, "b n"],
    *,
    square: bool = False,
    sharpness: float = 3.0,
    sun: float = 1.0,
    sky: float = 0.0,
) -> Shadows:
    """Patches on the ground spanned by two half axes in (x, z), metres."""
    det = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    det = torch.where(det.abs() < 1e-3, torch.full_like(det, 1e-3), det)
    matrix = (
        torch.stack((second[..., 1], -second[..., 0], -first[..., 1], first[..., 0]), dim=-1)
        / det[..., None]
    )
    signs = _signs(center.device)[:, :2]
    flat = center[:, :, None] + signs[:, :1] * first[:, :, None] + signs[:, 1:] * second[:, :, None]
    corners = torch.stack((flat[..., 0], torch.zeros_like(flat[..., 0]), flat[..., 1]), dim=-1)
    one = torch.ones_like(det)
    return Shadows(
        center,
        matrix.unflatten(-1, (2, 2)),
        torch.full_like(present, square),
        one * sharpness,
        one * sun,
        one * sky,
        corners,
        present,
    )
