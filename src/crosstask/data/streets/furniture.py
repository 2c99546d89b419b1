"""What stands beside the road: trees and bushes, street lamps, traffic signs."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.data.streets.builder import Builder
from crosstask.data.streets.buildings import side_signs, sides
from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.road import Road
from crosstask.data.streets.style import Style

_CROWN = (
    (0.0, 0.0, 0.0, 1.0),
    (0.55, 0.28, 0.2, 0.72),
    (-0.5, 0.32, -0.25, 0.7),
    (0.1, 0.75, 0.1, 0.7),
    (-0.15, 0.2, 0.6, 0.66),
)


def _up(position: Tensor, height: Tensor | float) -> Tensor:
    lift = torch.zeros_like(position)
    lift[..., 1] = -height
    return position + lift


def add_trees(
    build: Builder, dice: Dice, paints: Paints, style: Style, road: Road, sun: Float[Tensor, "b 3"]
) -> None:
    """Trees at the kerb or in the gardens: a trunk and five balls of leaves."""
    per_side, parts = 4, len(_CROWN)
    count = 2 * per_side
    sign = side_signs(sun.device, per_side)
    step = torch.arange(per_side, device=sun.device).repeat(2)[None]
    ahead = 7.0 + 12.0 * step + dice.uniform(count, 0.0, 7.0)
    verge, garden = sides(road.verge, per_side), sides(road.garden, per_side)
    kerb = road.half_width[:, None]
    walk = kerb + verge + sides(road.sidewalk, per_side)
    lateral = torch.where(garden > 0, walk + garden * 0.5, walk - 0.6)
    lateral = torch.where(verge > 0, kerb + verge / 2, lateral)
    position, yaw = road.place(sign * lateral, ahead)
    radius, trunk = dice.uniform(count, 1.0, 1.8), dice.uniform(count, 2.2, 3.4)
    present = (dice.unit(count) < 0.5 * style.crowd) & road.clear(ahead, 1.5)
    bark = material(Street.TREE, paints("bark", count), texture="wood", scale=1.5)
    girth = dice.uniform(count, 0.11, 0.2) * style.thickness[0]
    build.add_rods(position, _up(position, trunk + 0.5 * radius), girth, present, bark)

    table = torch.tensor(_CROWN, device=sun.device)
    wobble = dice.uniform(count * parts * 3, -0.15, 0.15).unflatten(1, (count, parts, 3))
    local = (table[:, :3] + wobble) * radius[..., None, None]
    lift = torch.stack((0 * trunk, -trunk - 0.75 * radius, 0 * trunk), dim=-1)
    local = local * local.new_tensor((1.0, -1.0, 1.0)) + lift[:, :, None]
    center = (position[:, :, None] + local).flatten(1, 2)
    size = (table[:, 3] * radius[..., None]).flatten(1)[..., None]
    leaves = (paints("leaf", count)[:, :, None] * (1 + 0.45 * wobble[..., :1])).flatten(1, 2)
    phase = dice.uniform(count, 0.0, 64.0).repeat_interleave(parts, dim=1)
    rows = material(Street.TREE, leaves, texture="leaves", scale=3.0, phase=phase)
    here = present.repeat_interleave(parts, dim=1)
    radii = size * size.new_tensor((1.0, 0.88, 1.0))
    build.add_ellipsoids(center, radii, yaw.repeat_interleave(parts, dim=1), here, rows)

    lift_ = (trunk + 1.2 * radius) / sun[:, 1:2].clamp(min=0.1)
    throw = sun[:, None, ::2] * lift_[..., None]
    along = sun[:, ::2] / sun[:, ::2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
    across = torch.stack((-along[:, 1], along[:, 0]), dim=-1)[:, None] * 1.25 * radius[..., None]
    stretch = along[:, None] * (1.25 * radius / sun[:, 1:2].clamp(min=0.3))[..., None]
    build.add_shadows(
        position[..., ::2] + throw, across, stretch, present, sharpness=2.5, sun=0.8, sky=0.1
    )


def add_bushes(build: Builder, dice: Dice, paints: Paints, road: Road) -> None:
    """Bushes in the gardens."""
    count = 8
    sign = side_signs(road.bend.device, count // 2)
    ahead = dice.uniform(count, 5.0, 50.0)
    garden = sides(road.garden, count // 2)
    walk = road.half_width[:, None] + sides(road.verge + road.sidewalk, count // 2)
    position, yaw = road.place(sign * (walk + 0.65 * garden), ahead)
    size = dice.uniform(count, 0.5, 1.0)
    present = dice.chance(count, 0.6) & (garden > 0) & road.clear(ahead, 2.0)
    phase = dice.uniform(count, 0.0, 64.0)
    rows = material(
        Street.TREE, paints("leaf", count) * 0.92, texture="leaves", scale=2.0, phase=phase
    )
    radii = torch.stack((0.9 * size, size, size * dice.uniform(count, 0.9, 1.8)), dim=-1)
    build.add_ellipsoids(_up(position, 0.5 * size), radii, yaw, present, rows)


def add_lamps(build: Builder, dice: Dice, paints: Paints, style: Style, road: Road) -> None:
    """Street lamps: a post, an arm over the road, a lamp."""
    per_side = 4
    count = 2 * per_side
    sign = side_signs(road.bend.device, per_side)
    step = torch.arange(per_side, device=sign.device).repeat(2)[None]
    ahead = 6.0 + 13.0 * step + dice.uniform(count, 0.0, 8.0)
    position, yaw = road.place(sign * (road.half_width[:, None] + 0.4), ahead)
    height = dice.uniform(count, 4.5, 7.5)
    thick = dice.uniform(count, 0.08, 0.11) * dice.uniform(1, *style.thickness)
    present = (dice.unit(count) < 0.55 * style.crowd) & road.clear(ahead, 0.8)
    rows = material(Street.POLE, paints("metal", count))
    top = _up(position, height)
    reach = torch.stack(
        (-sign * dice.uniform(count, 0.8, 1.8), 0 * height - 0.35, 0 * height), dim=-1
    )
    build.add_rods(position, top, thick, present, rows)
    build.add_rods(_up(top, -0.1), top + reach, 0.6 * thick, present, rows)
    size = torch.stack((3.4 * thick, 1.1 * thick, 1.8 * thick), dim=-1)
    build.add_ellipsoids(top + reach, size, yaw, present, rows)


def add_signs(build: Builder, dice: Dice, paints: Paints, style: Style, road: Road) -> None:
    """Traffic signs, rectangular or round, that face the camera's side of the street."""
    sign = torch.tensor((1.0, 1.0, 1.0, 1.0, -1.0, -1.0), device=road.bend.device)
    count = len(sign)
    slot = torch.arange(count, device=sign.device)[None] % 4
    ahead = 6.5 + 6.5 * slot + dice.uniform(count, 0.0, 5.0)
    lateral = sign * (road.half_width[:, None] + dice.uniform(count, 0.5, 0.9))
    position, yaw = road.place(lateral, ahead)
    yaw = yaw + dice.uniform(count, -0.35, 0.35)
    present = (dice.unit(count) < 0.6 * style.crowd) & road.clear(ahead, 0.5)
    disk = dice.chance(count, 0.5)
    half = torch.stack((dice.uniform(count, 0.36, 0.62), torch.full_like(yaw, 0.03)), dim=-1)
    tall, foot = dice.uniform(count, 0.7, 1.2), dice.uniform(count, 1.7, 2.3)
    thick = 0.045 * dice.uniform(1, *style.thickness).expand(yaw.shape)
    metal = material(Street.POLE, paints("metal", count))
    build.add_rods(position, _up(position, foot + 0.7 * tall), thick, present, metal)
    plate, symbol = paints("plate", count), paints("symbol", count, 0.02)
    rim = dice.uniform(count, 0.07, 0.14)
    rows = material(
        Street.SIGN,
        plate,
        second=symbol,
        u=(1e4, 1.0, 0.5),
        low=rim,
        high=tall - rim,
        reach=half[..., 0] - rim,
    )
    ahead_axis = torch.stack((yaw.sin(), 0 * yaw, yaw.cos()), dim=-1)
    front = position - 0.08 * ahead_axis
    build.add_hulls(_up(front, foot), yaw, half, tall, present & ~disk, rows)
    middle = _up(front, foot + 0.5 * tall)
    rows = material(Street.SIGN, plate, second=symbol, high=dice.uniform(count, 0.5, 0.8))
    build.add_rods(
        middle - 0.03 * ahead_axis,
        middle + 0.03 * ahead_axis,
        half[..., 0].clamp(min=0.4),
        present & disk,
        rows,
    )


def sun_direction(dice: Dice, style: Style) -> Float[Tensor, "b 3"]:
    """Unit direction in which the sun's light travels (downwards: y > 0)."""
    azimuth = dice.uniform(1, 0.0, 2 * math.pi)
    elevation = torch.deg2rad(dice.uniform(1, *style.sun_elevation))
    level = elevation.cos()
    return torch.cat((level * azimuth.sin(), elevation.sin(), level * azimuth.cos()), dim=1)
