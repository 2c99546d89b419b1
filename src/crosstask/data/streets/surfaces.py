"""Colours, normals and classes of what the rays meet: solids and the sky.

Every function takes the pixels of one kind only, as flat lists, channels first: no work is done for pixels of another
kind, and every operation runs over contiguous memory.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from crosstask.data.streets import materials as m
from crosstask.data.streets.primitives import Hulls, Rounds
from crosstask.data.streets.texture import Atlas, pulse, step


@dataclass(frozen=True)
class Sight:
    """Some pixels and what their rays meet.

    Attributes:
        pixel: u and v. point: in the world, metres. ray: unit direction in the world.
        footprint: metres that a pixel covers at the point, across the ray.
    """

    pixel: Float[Tensor, "2 k"]
    point: Float[Tensor, "3 k"]
    ray: Float[Tensor, "3 k"]
    footprint: Float[Tensor, "k"]

    def take(self, index: Int64[Tensor, "n"]) -> "Sight":
        """The pixels at ``index``."""
        return Sight(
            self.pixel.index_select(1, index),
            self.point.index_select(1, index),
            self.ray.index_select(1, index),
            self.footprint.index_select(0, index),
        )


@dataclass(frozen=True)
class Surface:
    """Linear albedo, outward unit normal in world axes, class and motion (above 0.5) of some pixels."""

    albedo: Float[Tensor, "3 k"]
    normal: Float[Tensor, "3 k"]
    label: Float[Tensor, "k"]
    moving: Float[Tensor, "k"]


def gather(
    table: Float[Tensor, "b n *rest"], which: Int64[Tensor, "k"]
) -> Float[Tensor, "columns k"]:
    """Columns of the rows ``which`` of all of the batch: (columns, k), contiguous along k."""
    return table.reshape(table.shape[0] * table.shape[1], -1).T.contiguous().index_select(1, which)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _painted(
    rows: Tensor, mask: Tensor, top: Tensor | None, texture: Tensor, glint: Tensor | None
) -> Tensor:
    second = rows[m.SECOND]
    if glint is not None:
        second = second * (1 + rows[m.VARIATION] * glint).clamp_(min=0.1)
    color = torch.lerp(rows[m.FIRST], second, mask)
    if top is not None:
        color = torch.where(top, rows[m.TOP], color)
    weights = rows[m.WEIGHTS]
    shade = texture[:, 0] * weights[0]
    for channel in (1, 2, 3):
        shade.addcmul_(texture[:, channel], weights[channel])
    shade.mul_(1 - 0.7 * mask).add_(1).clamp_(0.2, 2.0)
    return color.mul_(shade)


def shade_hulls(
    hulls: Hulls,
    planes: Float[Tensor, "b n 4 3"],
    normals: Float[Tensor, "b n 4 3"],
    which: Int64[Tensor, "k"],
    sight: Sight,
    atlas: Atlas,
) -> Surface:
    """Surfaces of hulls.

    Args:
        planes, normals: of the sides that face the camera, as `raycast.trace` gives them.
        which: index of each pixel's hull among all of the batch.
    """
    facing = gather(planes, which).unflatten(0, (4, 3))
    height = facing[:, 0] * sight.pixel[0]
    height.addcmul_(facing[:, 1], sight.pixel[1]).add_(facing[:, 2])
    nearest, side = height[0], torch.zeros_like(which)
    for plane in range(1, len(height)):
        side = torch.where(height[plane] < nearest, plane, side)
        nearest = torch.minimum(nearest, height[plane])
    normal = normals.reshape(-1, 3).T.contiguous().index_select(1, which * len(height) + side)

    cosine, sine, *base = gather(hulls.frame, which)
    rows = gather(hulls.material, which)
    offset_x, up, offset_z = (
        sight.point[0] - base[0],
        base[1] - sight.point[1],
        sight.point[2] - base[2],
    )
    x, z = cosine * offset_x - sine * offset_z, cosine * offset_z + sine * offset_x
    normal_x, normal_z = (
        cosine * normal[0] - sine * normal[2],
        cosine * normal[2] + sine * normal[0],
    )
    sideways = normal_x.abs() > normal_z.abs()
    along, across = torch.where(sideways, z, x), torch.where(sideways, x, z)
    footprint = sight.footprint
    wide = footprint / _dot(normal, sight.ray).abs().clamp_(min=0.05)
    top = -normal[1] > rows[m.TOP_FROM]

    mask, glint = _windows(rows, along, up, sideways, wide, footprint, atlas)
    mask *= ~top
    scale, phase = rows[m.SCALE], rows[m.PHASE]
    other = torch.where(-normal[1] > 0.5, across, up)
    texture = atlas.sample(
        along / scale + phase, other / scale + 0.7 * phase, (wide * footprint).sqrt_() / scale
    )
    color = _painted(rows, mask, top, texture, glint)
    return Surface(color, normal, rows[m.CLASS], rows[m.MOVING])


def _windows(
    rows: Float[Tensor, "columns k"],
    along: Float[Tensor, "k"],
    up: Float[Tensor, "k"],
    sideways: Bool[Tensor, "k"],
    wide: Float[Tensor, "k"],
    footprint: Float[Tensor, "k"],
    atlas: Atlas,
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """Where a wall has its second colour, in columns and storeys, and how bright each field is.

    Args:
        along, up: metres along the wall and above the base.
        wide, footprint: metres that a pixel covers along and up.
    """
    column = along / rows[m.PERIOD_U] + rows[m.OFFSET_U]
    storey = up / rows[m.PERIOD_V] + rows[m.OFFSET_V]
    mask = pulse(column, rows[m.DUTY_U], wide / rows[m.PERIOD_U])
    mask *= pulse(storey, rows[m.DUTY_V], footprint / rows[m.PERIOD_V])
    mask *= step(torch.minimum(up - rows[m.LOW], rows[m.HIGH] - up), footprint)
    mask *= step(rows[m.REACH] - along.abs(), wide)
    glint = atlas.cell(column.floor() + rows[m.PHASE].floor(), storey.floor() + 3.0 * sideways)
    glint *= (0.5 * rows[m.PERIOD_U] / wide - 0.5).clamp_(0.0, 1.0)
    return mask, glint


def shade_rounds(rounds: Rounds, which: Int64[Tensor, "k"], sight: Sight, atlas: Atlas) -> Surface:
    """Surfaces of ellipsoids and rods; ``which`` as for `shade_hulls`."""
    matrix, rows = gather(rounds.matrix, which).unflatten(0, (3, 3)), gather(rounds.material, which)
    center = gather(rounds.center, which)
    offset = sight.point - center
    ball = gather(rounds.roundness[..., None], which)[0]
    x, y, z = (_dot(matrix[row], offset) for row in range(3))
    radial = (x * x + z * z).sqrt_()
    end = (y.abs() > radial) * (1 - ball)
    wall, pole = 1 - end, torch.maximum(ball, end)
    normal = matrix[0] * (x * wall) + matrix[1] * (y * pole) + matrix[2] * (z * wall)
    normal = normal / _dot(normal, normal).sqrt_().clamp_(min=1e-12)
    upward = torch.where(end > 0, radial, y)
    inside = torch.minimum(upward - rows[m.LOW], rows[m.HIGH] - upward)
    mask = (inside / 0.05 + 0.5).clamp_(0.0, 1.0) * pole
    scale, phase = rows[m.SCALE], rows[m.PHASE]
    u = 0.8 * offset[0] + 0.6 * offset[2]
    v = 0.3 * (offset[0] - offset[2]) - offset[1]
    incidence = _dot(normal, sight.ray).abs().clamp_(min=0.2)
    footprint = sight.footprint / scale / incidence.sqrt_()
    texture = atlas.sample(u / scale + phase, v / scale + 0.7 * phase, footprint)
    color = _painted(rows, mask, None, texture, None)
    return Surface(color, normal, rows[m.CLASS], rows[m.MOVING])


def shade_sky(
    ray: Float[Tensor, "3 k"],
    air: Float[Tensor, "3 k"],
    zenith: Float[Tensor, "3 k"],
    clouds: Float[Tensor, "k"],
    shift: Float[Tensor, "2 k"],
    angle: Float[Tensor, "k"],
    atlas: Atlas,
) -> Float[Tensor, "3 k"]:
    """Linear radiance of the sky: from the horizon's colour to the zenith's, with clouds.

    Args:
        ray: unit direction. angle: radians that a pixel covers.
    """
    up = (-ray[1]).clamp(min=0.0)
    fade = 1 - (1 - up) ** 4
    color = torch.lerp(air, zenith, fade)
    stretch = 0.22 / (up + 0.15)
    texture = atlas.sample(
        ray[0] * stretch + shift[0], ray[2] * stretch + shift[1], angle * stretch / (up + 0.15)
    )
    cover = (texture[:, 2] + 0.35 * texture[:, 1]) * 0.55 + 2.2 * clouds - 1.1
    cover = cover.clamp_(0.0, 1.0) * (3 * up).clamp_(max=0.8)
    return torch.lerp(color, air * 1.05, cover)
