"""Colours, normals and classes of what the rays meet: solids, the ground, the sky.

Every function takes the pixels of one kind only, as flat lists, so that no work is done for pixels of another kind.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from crosstask.data.streets import materials as m
from crosstask.data.streets.classes import Street
from crosstask.data.streets.primitives import Hulls, Rounds
from crosstask.data.streets.road import Road
from crosstask.data.streets.texture import Atlas, pulse, step


@dataclass(frozen=True)
class Surface:
    """Linear albedo, outward normal in world axes, class and motion of some pixels."""

    albedo: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    label: Int64[Tensor, "n"]
    moving: Bool[Tensor, "n"]


def _painted(rows: Tensor, mask: Tensor, top: Tensor, texture: Tensor, glint: Tensor) -> Tensor:
    second = rows[:, m.SECOND] * (1 + rows[:, m.VARIATION, None] * glint[:, None]).clamp(min=0.1)
    color = torch.lerp(rows[:, m.FIRST], second, mask[:, None])
    color = torch.where(top[:, None], rows[:, m.TOP], color)
    weights = rows[:, m.WEIGHTS]
    shade = texture[:, 0] * weights[:, 0]
    for channel in (1, 2, 3):
        shade = torch.addcmul(shade, texture[:, channel], weights[:, channel])
    shade = shade * (1 - 0.7 * mask)
    return color * (1 + shade).clamp_(0.2, 2.0)[:, None]


def shade_hulls(
    hulls: Hulls,
    planes: Float[Tensor, "b n 4 3"],
    normals: Float[Tensor, "b n 4 3"],
    which: Int64[Tensor, "k"],
    pixel: Float[Tensor, "k 2"],
    point: Float[Tensor, "k 3"],
    ray: Float[Tensor, "k 3"],
    footprint: Float[Tensor, "k"],
    atlas: Atlas,
) -> Surface:
    """Surfaces of hulls.

    Args:
        planes, normals: of the sides that face the camera, as `raycast.trace` gives them.
        which: index of each pixel's hull among all of the batch. pixel: (u, v). point: in the world.
        ray: unit direction. footprint: metres that a pixel covers across the ray.
    """
    u, v = pixel[:, :1], pixel[:, 1:]
    facing = planes.flatten(0, 1)[which]
    nearest = (facing[..., 0] * u + facing[..., 1] * v + facing[..., 2]).argmin(dim=1)
    normal = normals.flatten(0, 2)[which * planes.shape[2] + nearest]
    frame, rows = hulls.frame.flatten(0, 1)[which], hulls.material.flatten(0, 1)[which]
    cosine, sine = frame[:, 0], frame[:, 1]
    offset = point - frame[:, 2:]
    x, z, up = (
        cosine * offset[:, 0] - sine * offset[:, 2],
        cosine * offset[:, 2] + sine * offset[:, 0],
        -offset[:, 1],
    )
    sideways = (cosine * normal[:, 0] - sine * normal[:, 2]).abs() > (
        cosine * normal[:, 2] + sine * normal[:, 0]
    ).abs()
    along, across = torch.where(sideways, z, x), torch.where(sideways, x, z)
    level = -normal[:, 1] > 0.5
    incidence = (normal * ray).sum(-1).abs().clamp(min=0.05)
    wide = footprint / incidence
    top = -normal[:, 1] > rows[:, m.TOP_FROM]
    column = along / rows[:, m.PERIOD_U] + rows[:, m.OFFSET_U]
    story = up / rows[:, m.PERIOD_V] + rows[:, m.OFFSET_V]
    mask = pulse(column, rows[:, m.DUTY_U], wide / rows[:, m.PERIOD_U]) * pulse(
        story, rows[:, m.DUTY_V], footprint / rows[:, m.PERIOD_V]
    )
    mask = (
        mask
        * step(up - rows[:, m.LOW], footprint)
        * step(rows[:, m.HIGH] - up, footprint)
        * step(rows[:, m.REACH] - along.abs(), wide)
    )
    mask = mask * (incidence / incidence) * ~top
    glint = atlas.cell(column.floor() + rows[:, m.PHASE].floor(), story.floor() + 3.0 * sideways)
    glint = glint * (0.5 * rows[:, m.PERIOD_U] / wide - 0.5).clamp(0.0, 1.0)
    scale, phase = rows[:, m.SCALE], rows[:, m.PHASE]
    texture = atlas.sample(
        along / scale + phase,
        torch.where(level, across, up) / scale + 0.7 * phase,
        (wide * footprint).sqrt() / scale,
    )
    return Surface(
        _painted(rows, mask, top, texture, glint),
        normal,
        rows[:, m.CLASS].to(torch.int64),
        rows[:, m.MOVING] > 0.5,
    )


def shade_rounds(
    rounds: Rounds,
    which: Int64[Tensor, "k"],
    point: Float[Tensor, "k 3"],
    ray: Float[Tensor, "k 3"],
    footprint: Float[Tensor, "k"],
    atlas: Atlas,
) -> Surface:
    """Surfaces of ellipsoids and rods; arguments as for `shade_hulls`."""
    matrix, rows = rounds.matrix.flatten(0, 1)[which], rounds.material.flatten(0, 1)[which]
    offset = point - rounds.center.flatten(0, 1)[which]
    ball = rounds.roundness.flatten()[which] > 0.5
    x, y, z = ((matrix[:, row] * offset).sum(-1) for row in range(3))
    radial = (x * x + z * z).sqrt()
    end = (y.abs() > radial) & ~ball
    keep = (~end).to(x.dtype)
    gradient = torch.stack((x * keep, y * (ball | end), z * keep), dim=-1)
    normal = (matrix * gradient[..., None]).sum(1)
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    upward = torch.where(end, radial, y)
    blur = 0.05
    mask = (
        step(upward - rows[:, m.LOW], upward.new_tensor(blur))
        * step(rows[:, m.HIGH] - upward, upward.new_tensor(blur))
        * (ball | end)
    )
    scale, phase = rows[:, m.SCALE], rows[:, m.PHASE]
    u = 0.8 * offset[:, 0] + 0.6 * offset[:, 2]
    v = 0.3 * (offset[:, 0] - offset[:, 2]) - offset[:, 1]
    incidence = (normal * ray).sum(-1).abs().clamp(min=0.2)
    texture = atlas.sample(
        u / scale + phase, v / scale + 0.7 * phase, footprint / scale / incidence.sqrt()
    )
    nothing = torch.zeros_like(ball)
    color = _painted(rows, mask, nothing, texture, torch.zeros_like(u))
    return Surface(color, normal, rows[:, m.CLASS].to(torch.int64), rows[:, m.MOVING] > 0.5)


def shade_ground(
    road: Road,
    scene: Int64[Tensor, "k"],
    point: Float[Tensor, "k 3"],
    ray: Float[Tensor, "k 3"],
    footprint: Float[Tensor, "k"],
    atlas: Atlas,
) -> Surface:
    """The ground: asphalt with its markings, kerbs, slabs and grass.

    Args:
        scene: index of each pixel's scene. Others as for `shade_hulls`.

    A marking is labelled only where it is at least a pixel wide; farther off it is road.
    """
    table = torch.cat(
        (
            road.bend[:, None],
            road.half_width[:, None],
            road.verge,
            road.sidewalk,
            road.crossing,
            road.paved.float(),
            road.dash,
            road.edge[:, None],
            road.zebra,
            road.shift,
            road.colors.flatten(1),
        ),
        dim=1,
    )[scene]
    (
        bend,
        half,
        verge_l,
        verge_r,
        walk_l,
        walk_r,
        middle,
        cross,
        paved_l,
        paved_r,
        period,
        duty,
        thick,
        edge,
        start,
        length,
        shift_u,
        shift_v,
    ) = table[:, :18].unbind(-1)
    asphalt, paint, paving, kerb, grass = table[:, 18:].unflatten(1, (5, 3)).unbind(1)
    ahead = point[:, 2]
    lateral = point[:, 0] - 0.5 * bend * ahead**2
    right, out = lateral > 0, lateral.abs()
    verge, walk = torch.where(right, verge_r, verge_l), torch.where(right, walk_r, walk_l)
    paved = torch.where(right, paved_r, paved_l) > 0.5
    far = footprint / ray[:, 1].abs().clamp(min=1e-3)

    crossing = (ahead - middle).abs()
    on_cross = step(cross - crossing, far) * (cross > 0)
    on_road = torch.maximum(step(half - out, footprint), on_cross)
    corner = (crossing < cross + 2.0) & (cross > 0)
    walkway = (out > half + verge) & (out < half + verge + walk)
    slabs = walkway | (paved & (out > half + verge)) | corner
    on_kerb = step(half + 0.16 - out, footprint) * (verge == 0)

    width = torch.where(out < 0.5 * half, thick, edge)
    line = torch.where(out < 0.5 * half, out, (out - (half - 0.3)).abs())
    dashes = torch.where(
        out < 0.5 * half, pulse(ahead / period, duty, far / period), torch.ones_like(out)
    )
    on_zebra = step(ahead - start, far) * step(start + length - ahead, far) * (length > 0)
    stripes = pulse(lateral, torch.full_like(out, 0.5), footprint) * step(
        half - 0.4 - out, footprint
    )
    lines = (
        (step(0.5 * width - line, footprint) * footprint.reciprocal().mul(width).clamp(max=1.0))
        * dashes
        * (edge.maximum(thick) > 0)
        * (1 - on_cross)
    )
    marking = torch.lerp(lines, stripes, on_zebra) * on_road

    texture = atlas.sample(
        (lateral + shift_u) / 3.0, (ahead + shift_v) / 3.0, (far * footprint).sqrt() / 3.0
    )
    joint = 1 - (1 - pulse(lateral / 0.75, out.new_full((1,), 0.06), footprint / 0.75)) * (
        1 - pulse(ahead / 0.75, out.new_full((1,), 0.06), far / 0.75)
    )
    grain, clump, stain = texture[:, 0], texture[:, 1], texture[:, 2]
    slab = paving * (1 + 0.05 * grain + 0.06 * stain - 0.35 * joint)[:, None]
    lawn = grass * (1 + 0.10 * grain + 0.18 * clump + 0.08 * stain).clamp(min=0.3)[:, None]
    side = torch.where(slabs[:, None], slab, lawn)
    side = torch.lerp(side, kerb, (on_kerb * (1 - on_cross))[:, None])
    tar = torch.lerp(
        asphalt * (1 + 0.09 * grain + 0.10 * stain)[:, None],
        paint * (1 + 0.05 * grain + 0.05 * stain)[:, None],
        marking[:, None],
    )
    color = torch.lerp(side, tar, on_road[:, None])

    wide_enough = torch.where(on_zebra > 0.5, footprint < 0.5, footprint < width)
    label = torch.where(slabs | (on_kerb > 0.5), int(Street.SIDEWALK), int(Street.TERRAIN))
    label = torch.where(
        on_road > 0.5,
        torch.where((marking > 0.5) & wide_enough, int(Street.LANE_MARKING), int(Street.ROAD)),
        label,
    )
    normal = torch.zeros_like(point)
    normal[:, 1] = -1
    return Surface(color.clamp(0.0, 1.2), normal, label, torch.zeros_like(right))


def shade_sky(
    ray: Float[Tensor, "k 3"],
    air: Float[Tensor, "k 3"],
    zenith: Float[Tensor, "k 3"],
    clouds: Float[Tensor, "k"],
    shift: Float[Tensor, "k 2"],
    pixel: Float[Tensor, "k"],
    atlas: Atlas,
) -> Float[Tensor, "k 3"]:
    """Linear radiance of the sky: from the horizon's colour to the zenith's, with clouds.

    Args:
        ray: unit direction. pixel: radians that a pixel covers.
    """
    up = (-ray[:, 1]).clamp(min=0.0)
    color = torch.lerp(air, zenith, (1 - (1 - up).clamp(min=0.0) ** 3)[:, None])
    stretch = 0.22 / (up + 0.15)
    texture = atlas.sample(
        ray[:, 0] * stretch + shift[:, 0],
        ray[:, 2] * stretch + shift[:, 1],
        pixel * stretch / (up + 0.15),
    )
    cover = ((texture[:, 2] + 0.35 * texture[:, 1]) * 0.55 + 2.2 * clouds - 1.1).clamp(0.0, 1.0) * (
        3 * up
    ).clamp(max=0.8)
    return torch.lerp(color, air * 1.05, cover[:, None])
