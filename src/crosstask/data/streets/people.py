"""Walkers and cyclists, from ellipsoids and rods."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.data.streets.builder import Builder
from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import turn
from crosstask.data.streets.road import Road
from crosstask.data.streets.style import Style

# Parts of a person of 1 m height: rods as (start x, up, z; end x, up, z; radius; clothing), ellipsoids as (centre; radii; clothing).
_WALKER_RODS = (
    (0.055, 0.50, 0.0, 0.06, 0.0, 0.13, 0.048, "trousers"),
    (-0.055, 0.50, 0.0, -0.06, 0.0, -0.13, 0.048, "trousers"),
    (0.135, 0.80, 0.0, 0.155, 0.46, -0.09, 0.033, "cloth"),
    (-0.135, 0.80, 0.0, -0.155, 0.46, 0.09, 0.033, "cloth"),
)
_WALKER_BALLS = (
    (0.0, 0.66, 0.0, 0.135, 0.195, 0.085, "cloth"),
    (0.0, 0.925, 0.0, 0.062, 0.078, 0.07, "head"),
)
_CYCLIST_RODS = (
    (0.05, 0.52, -0.1, 0.05, 0.22, 0.13, 0.05, "trousers"),
    (-0.05, 0.52, -0.1, -0.05, 0.14, 0.02, 0.05, "trousers"),
    (0.11, 0.78, 0.07, 0.14, 0.56, 0.27, 0.032, "cloth"),
    (-0.11, 0.78, 0.07, -0.14, 0.56, 0.27, 0.032, "cloth"),
    (0.0, 0.52, -0.12, 0.0, 0.82, 0.06, 0.11, "cloth"),
    (0.0, 0.44, -0.12, 0.0, 0.46, 0.26, 0.026, "metal"),
    (0.0, 0.20, 0.05, 0.0, 0.50, -0.12, 0.026, "metal"),
    (0.0, 0.20, 0.32, 0.0, 0.55, 0.26, 0.024, "metal"),
    (-0.16, 0.555, 0.27, 0.16, 0.555, 0.27, 0.018, "metal"),
    (-0.016, 0.19, 0.33, 0.016, 0.19, 0.33, 0.19, "rubber"),
    (-0.016, 0.19, -0.29, 0.016, 0.19, -0.29, 0.19, "rubber"),
)
_CYCLIST_BALLS = ((0.0, 0.93, 0.1, 0.066, 0.078, 0.075, "head"),)


def _add_people(
    build: Builder,
    dice: Dice,
    paints: Paints,
    street_class: int,
    table: tuple[tuple[tuple, ...], tuple[tuple, ...]],
    position: Float[Tensor, "b n 3"],
    yaw: Float[Tensor, "b n"],
    height: Float[Tensor, "b n"],
    present: Bool[Tensor, "b n"],
    thickness: float,
) -> None:
    """Bodies from a table of parts of a person of 1 m."""
    count = yaw.shape[1]
    metal, rubber = paints("metal", count), paints("rubber", count, 0.02)
    hair, skin = paints("hair", count, 0.03), paints("skin", count, 0.03)
    phase = dice.uniform(count, 0.0, 64.0)
    rows = {
        name: material(street_class, color, texture="cloth", scale=1.5, moving=1.0, phase=phase)
        for name, color in (
            ("cloth", paints("cloth", count)),
            ("trousers", paints("trousers", count)),
            ("metal", metal),
        )
    }
    rows["head"] = material(street_class, skin, second=hair, low=0.25, moving=1.0)
    rows["rubber"] = material(street_class, rubber, second=metal, high=0.82, moving=1.0)

    def world(points: Tensor) -> Tensor:
        local = points * height[..., None, None] * points.new_tensor((1.0, -1.0, 1.0))
        local = turn(local, yaw[..., None].expand(local.shape[:-1]))
        return (position[:, :, None] + local).flatten(1, 2)

    for shapes, size in zip(table, (7, 6), strict=True):
        parts = len(shapes)
        numbers = torch.tensor([part[:-1] for part in shapes], device=yaw.device)
        coats = torch.stack([rows[part[-1]] for part in shapes], dim=2).flatten(1, 2)
        here = present.repeat_interleave(parts, dim=1)
        if size == 7:
            radius = (height[..., None] * numbers[:, 6] * thickness).flatten(1)
            build.add_rods(world(numbers[:, :3]), world(numbers[:, 3:6]), radius, here, coats)
        else:
            radii = (height[..., None, None] * numbers[:, 3:6]).flatten(1, 2)
            facing = yaw.repeat_interleave(parts, dim=1)
            build.add_ellipsoids(world(numbers[:, :3]), radii, facing, here, coats)


def _add_shadow(
    build: Builder, position: Tensor, height: Tensor, present: Tensor, sun: Float[Tensor, "b 3"]
) -> None:
    throw = sun[:, None, ::2] * (height / sun[:, 1:2].clamp(min=0.1))[..., None]
    across = torch.stack((-throw[..., 1], throw[..., 0]), dim=-1)
    across = 0.26 * across / across.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    center = position[..., ::2] + throw / 2
    build.add_shadows(center, across, throw / 2, present, sharpness=4.0, sky=0.3)


def add_walkers(
    build: Builder,
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> None:
    """People on the sidewalks, and one who may cross the road."""
    count = 7
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    share = torch.linspace(0.15, 0.7, count, device=near.device)
    ahead = near + dice.unit(count) * spread * share
    side = dice.pick(count, 2)
    kerb = road.verge.gather(1, side) + road.half_width[:, None]
    wide = road.sidewalk.gather(1, side)
    lateral = (2 * side - 1) * (kerb + 0.35 + dice.unit(count) * (wide - 0.7))
    crossing = torch.arange(count, device=near.device)[None] == count - 1
    lateral = torch.where(
        crossing, dice.uniform(count, -0.9, 0.9) * road.half_width[:, None], lateral
    )
    direction = dice.sign(count)
    step = dice.uniform(count, 0.0, 0.12) * direction * time[:, None]
    position, yaw = road.place(lateral + step * crossing, ahead + step * ~crossing)
    heading = torch.where(crossing, direction * math.pi / 2, (1 - direction) * math.pi / 2)
    yaw = yaw + heading + dice.uniform(count, -0.4, 0.4)
    height = dice.uniform(count, 1.5, 1.92)
    present = dice.unit(count) < torch.where(crossing, 0.3, 0.5 * style.crowd)
    table = (_WALKER_RODS, _WALKER_BALLS)
    _add_people(build, dice, paints, Street.PEDESTRIAN, table, position, yaw, height, present, 1.1)
    _add_shadow(build, position, height, present, sun)


def add_cyclists(
    build: Builder,
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> None:
    """Cyclists at the edges of the lanes."""
    side, share = torch.tensor(((1.0, -1.0, 1.0), (0.3, 0.4, 0.6)), device=time.device)
    count = len(side)
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    ahead = near + 1.0 + dice.unit(count) * spread * share
    ahead = ahead + side * dice.uniform(count, 0.15, 0.5) * time[:, None]
    lateral = side * (road.half_width[:, None] - 2.35 - dice.uniform(count, 0.0, 0.5))
    position, yaw = road.place(lateral, ahead)
    yaw = yaw + math.pi * (side < 0) + dice.uniform(count, -0.15, 0.15)
    height = dice.uniform(count, 1.68, 1.9)
    present = dice.unit(count) < 0.45 * style.crowd
    table = (_CYCLIST_RODS, _CYCLIST_BALLS)
    _add_people(build, dice, paints, Street.BICYCLIST, table, position, yaw, height, present, 1.0)
    _add_shadow(build, position, height, present, sun)
