"""Rows of houses on both sides, a backdrop at the street's end, and garden fences."""

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.data.streets.builder import Builder
from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import TEXTURES, material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.road import Road

_PER_SIDE = 9
_BACKDROP = 7
_DEPTH = 9.0


def sides(left: Tensor, count: int) -> Tensor:
    """Repeat the two columns of a (b, 2) tensor ``count`` times each: (b, 2 count), left ones first."""
    return left.repeat_interleave(count, dim=1)


def side_signs(device: torch.device, count: int) -> Float[Tensor, "1 n"]:
    """-1 for the ``count`` places at the left, +1 for those at the right."""
    return torch.tensor((-1.0, 1.0), device=device).repeat_interleave(count)[None]


def _facade(
    dice: Dice, paints: Paints, count: int, height: Tensor, contrast: Float[Tensor, "b 1"]
) -> Tensor:
    weights = torch.tensor((TEXTURES["plaster"], TEXTURES["brick"]), device=height.device)
    return material(
        Street.BUILDING,
        paints("facade", count),
        second=paints("glass", count),
        top=paints("roof", count),
        texture=weights[dice.pick(count, 2)] * contrast[..., None],
        top_from=0.5,
        u=(dice.uniform(count, 2.0, 3.4), dice.uniform(count, 0.36, 0.6), dice.unit(count)),
        v=(dice.uniform(count, 2.7, 3.3), dice.uniform(count, 0.4, 0.56), -0.3),
        low=0.7,
        high=height - 0.25,
        variation=0.5,
        phase=dice.uniform(count, 0.0, 64.0),
    )


def add_buildings(
    build: Builder,
    dice: Dice,
    paints: Paints,
    road: Road,
    sun: Float[Tensor, "b 3"],
    contrast: Float[Tensor, "b 1"],
) -> None:
    """Houses along the street, with flat or gabled roofs, and the shadow each throws on the ground.

    Args:
        sun: direction in which the light travels, unit, world axes.
        contrast: of the textures.
    """
    count = 2 * _PER_SIDE
    sign = side_signs(sun.device, _PER_SIDE)
    length = dice.uniform(count, 7.0, 15.0)
    wide_gap = dice.chance(count, 0.3)
    gap = torch.where(wide_gap, dice.uniform(count, 2.0, 6.0), dice.uniform(count, 0.0, 0.4))
    stretch = (length + gap).unflatten(1, (2, _PER_SIDE))
    first = dice.uniform(2, -9.0, -3.0)[..., None]
    ahead = (stretch.cumsum(-1) - stretch / 2 + first).flatten(1)
    setback = road.half_width[:, None] + road.verge + road.sidewalk + road.garden
    front = sides(setback, _PER_SIDE) + 0.15 + dice.uniform(count, 0.0, 0.8)
    base, yaw = road.place(sign * (front + _DEPTH / 2), ahead)
    wall = dice.uniform(count, 4.5, 13.0)
    gabled, along = dice.chance(count, 0.55), dice.chance(count, 0.7).float()
    rise = dice.uniform(count, 0.5, 0.9)
    ridge = wall + rise * torch.where(along > 0, _DEPTH / 2, length / 2)
    half = torch.stack((torch.full_like(length, _DEPTH / 2), length / 2), dim=-1)
    present = road.clear(ahead, length / 2 + 2.0)
    rows = _facade(dice, paints, count, wall, contrast)
    slope = torch.stack((along, torch.where(gabled, wall, 1e4), rise), dim=-1)
    height = torch.where(gabled, ridge, wall)
    build.add_hulls(base, yaw, half, height, present, rows, slope=slope)

    throw = sun[:, None, ::2] * (wall / sun[:, 1:2].clamp(min=0.1))[..., None]
    middle = base[..., ::2].clone()
    middle[..., 0] -= sign * _DEPTH / 2
    street = torch.stack((yaw.sin(), yaw.cos()), dim=-1) * (length / 2)[..., None]
    falls = present & (sun[:, :1] * sign < -0.05)
    build.add_shadows(middle + throw / 2, street, throw / 2, falls, square=True, sharpness=12.0)


def add_backdrop(
    build: Builder, dice: Dice, paints: Paints, road: Road, contrast: Float[Tensor, "b 1"]
) -> None:
    """A skyline far down the street, so that the road does not run into the sky."""
    count = _BACKDROP
    ahead = dice.uniform(count, 112.0, 150.0)
    spacing = torch.arange(count, device=ahead.device)[None] - (count - 1) / 2
    base, yaw = road.place(spacing * 17.0 + dice.uniform(count, -4.0, 4.0), ahead)
    half = torch.stack((dice.uniform(count, 6.0, 11.0), dice.uniform(count, 4.0, 8.0)), dim=-1)
    height, present = dice.uniform(count, 6.0, 22.0), dice.chance(count, 0.85)
    rows = _facade(dice, paints, count, height, contrast)
    build.add_hulls(base, yaw, half, height, present, rows)


def add_fences(build: Builder, dice: Dice, paints: Paints, road: Road) -> None:
    """Fences of planks between sidewalk and garden."""
    per_side = 3
    count = 2 * per_side
    sign = side_signs(road.bend.device, per_side)
    step = torch.arange(per_side, device=sign.device).repeat(2)[None]
    ahead = 3.0 + 13.0 * step + dice.uniform(count, 0.0, 4.0)
    length = dice.uniform(count, 7.0, 13.0)
    lateral = sides(road.half_width[:, None] + road.verge + road.sidewalk, per_side) + 0.1
    base, yaw = road.place(sign * lateral, ahead)
    height = dice.uniform(count, 0.95, 1.6)
    garden = sides(road.garden, per_side) > 0
    present = dice.chance(count, 0.6) & garden & road.clear(ahead, length / 2 + 1.0)
    wood = paints("fence", count)
    rows = material(
        Street.FENCE,
        wood,
        second=wood * 0.6,
        texture="wood",
        scale=2.0,
        u=(dice.uniform(count, 0.16, 0.34), 0.22, 0.0),
        low=0.05,
        phase=dice.uniform(count, 0.0, 64.0),
    )
    half = torch.stack((torch.full_like(length, 0.05), length / 2), dim=-1)
    build.add_hulls(base, yaw, half, height, present, rows)
