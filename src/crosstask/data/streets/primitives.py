"""Two kinds of solids make the whole street: hulls (eight half-spaces) and rounds (ellipsoids and rods).

Both are convex, so that a ray meets each in one interval, and both come out of constructors that work on (batch, number)
tensors. Local axes: x right, y down, z ahead; a yaw turns z towards x. Heights are positive upwards.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_FAR = 1e4


@dataclass(frozen=True)
class Hulls:
    """Convex solids {p: normals . p <= offsets}, in world coordinates, with the frame they were built in."""

    normals: Float[Tensor, "b n 8 3"]
    offsets: Float[Tensor, "b n 8"]
    frame: Float[Tensor, "b n 5"]
    """cosine and sine of the yaw, then the centre of the base: x, y, z."""
    corners: Float[Tensor, "b n 8 3"]
    present: Bool[Tensor, "b n"]
    material: Float[Tensor, "b n columns"]


@dataclass(frozen=True)
class Rounds:
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
class Shadows:
    """Dark patches on the ground: |matrix (p - center)| < 1 in the Euclidean norm, or the largest one where square.

    Attributes:
        table: centre x and z, matrix by rows (4), square (1 or 0), sharpness of the rim, share of the sun that is
            kept off, share of the sky's light that is kept off.
    """

    table: Float[Tensor, "b n 10"]
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


@dataclass(frozen=True)
class HullParts:
    """Boxes with optional slanted walls and a pair of slopes on top (a roof; a bonnet and a boot).

    Attributes:
        base: middle of the lower face. half: half extents along local x and z. height: metres.
        lean: tangent by which the walls lean inwards: at the sides (x), ahead (+z), behind (-z).
        slope: share along x (1 or 0), height at which the slopes meet the walls, rise per metre inwards.
    """

    base: Float[Tensor, "b n 3"]
    yaw: Float[Tensor, "b n"]
    half: Float[Tensor, "b n 2"]
    height: Float[Tensor, "b n"]
    lean: Float[Tensor, "b n 3"]
    slope: Float[Tensor, "b n 3"]

    def build(self, present: Bool[Tensor, "b n"], rows: Float[Tensor, "b n columns"]) -> Hulls:
        """The half-spaces of every box."""
        zero, one = torch.zeros_like(self.height), torch.ones_like(self.height)
        half_x, half_z = self.half.unbind(-1)
        sides, ahead, behind = self.lean.unbind(-1)
        along, shoulder, rise = self.slope.unbind(-1)
        across = 1 - along
        reach = shoulder + rise * (along * half_x + across * half_z)
        rise_x, rise_z = rise * along, rise * across
        x = torch.stack((one, -one, zero, zero, zero, zero, rise_x, -rise_x), dim=-1)
        up = torch.stack((sides, sides, ahead, behind, one, -one, one, one), dim=-1)
        z = torch.stack((zero, zero, one, -one, zero, zero, rise_z, -rise_z), dim=-1)
        offsets = torch.stack(
            (half_x, half_x, half_z, half_z, self.height, zero, reach, reach), dim=-1
        )
        local = torch.stack((x, -up, z), dim=-1)
        length = local.norm(dim=-1)
        normals = turn(local, self.yaw[..., None].expand(length.shape)) / length[..., None]
        offsets = offsets / length + (normals * self.base[:, :, None]).sum(-1)
        middle = self.base - torch.stack((zero, self.height / 2, zero), dim=-1)
        corners = _box(middle, torch.stack((half_x, self.height / 2, half_z), dim=-1), self.yaw)
        frame = torch.cat((self.yaw.cos()[..., None], self.yaw.sin()[..., None], self.base), dim=-1)
        return Hulls(normals, offsets, frame, corners, present, rows)


def ellipsoids(
    center: Float[Tensor, "b n 3"], radii: Float[Tensor, "b n 3"], yaw: Float[Tensor, "b n"]
) -> tuple[Float[Tensor, "b n 3 3"], Float[Tensor, "b n 8 3"]]:
    """Matrices to the unit ball, and bounding corners, of ellipsoids with a vertical axis."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    cosine, sine = yaw.cos(), yaw.sin()
    axes = torch.stack((cosine, zero, -sine, zero, one, zero, sine, zero, cosine), dim=-1)
    return axes.unflatten(-1, (3, 3)) / radii[..., None], _box(center, radii, yaw)


def rods(
    start: Float[Tensor, "b n 3"], end: Float[Tensor, "b n 3"], radius: Float[Tensor, "b n"]
) -> tuple[Float[Tensor, "b n 3 3"], Float[Tensor, "b n 8 3"]]:
    """Matrices to the unit cylinder |y| <= 1, and bounding corners, of cylinders with flat ends."""
    axis = (end - start) / 2
    half = axis.norm(dim=-1, keepdim=True)
    along = axis / half
    upright = (along[..., 1:2].abs() > 0.9).to(axis.dtype)
    helper = torch.cat((upright, 1 - upright, torch.zeros_like(half)), dim=-1)
    first = torch.linalg.cross(helper, along)
    first = first / first.norm(dim=-1, keepdim=True)
    second = torch.linalg.cross(first, along)
    wide = radius[..., None]
    matrix = torch.stack((first / wide, along / half, second / wide), dim=-2)
    frame = torch.stack((first * wide, axis, second * wide), dim=-2)
    spread = (_signs(axis.device)[..., None] * frame[:, :, None]).sum(-2)
    return matrix, ((start + end) / 2)[:, :, None] + spread


def shadows(
    center: Float[Tensor, "b n 2"],
    first: Float[Tensor, "b n 2"],
    second: Float[Tensor, "b n 2"],
    kind: Float[Tensor, "b n 4"],
    present: Bool[Tensor, "b n"],
) -> Shadows:
    """Patches on the ground spanned by two half axes in (x, z), metres."""
    det = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    det = torch.where(det.abs() < 1e-3, 1e-3, det)[..., None]
    matrix = torch.stack((second[..., 1], -second[..., 0], -first[..., 1], first[..., 0]), dim=-1)
    signs = _signs(center.device)[:, :2]
    flat = center[:, :, None] + signs[:, :1] * first[:, :, None] + signs[:, 1:] * second[:, :, None]
    corners = torch.stack((flat[..., 0], torch.zeros_like(flat[..., 0]), flat[..., 1]), dim=-1)
    return Shadows(torch.cat((center, matrix / det, kind), dim=-1), corners, present)
