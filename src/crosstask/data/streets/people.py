"""Walkers and cyclists, from ellipsoids and rods."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.data.streets.buildings import sides
from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import Rounds, Shadows, ellipsoids, rods, shadows, turn
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


def _body(
    dice: Dice,
    paints: Paints,
    street_class: int,
    table: tuple[tuple, tuple],
    position: Float[Tensor, "b n 3"],
    yaw: Float[Tensor, "b n"],
    height: Float[Tensor, "b n"],
    present: Tensor,
    thickness: float,
) -> Rounds:
    count = yaw.shape[1]
    coats = {
        "cloth": paints("cloth", count),
        "trousers": paints("trousers", count),
        "metal": paints("metal", count),
        "rubber": paints("rubber", count, 0.02),
    }
    hair, phase = paints("hair", count, 0.03), dice.uniform(count, 0.0, 64.0)
    rows = {
        name: material(street_class, color, texture="cloth", scale=1.5, moving=1.0, phase=phase)
        for name, color in coats.items()
    }
    rows["head"] = material(
        street_class, paints("skin", count, 0.03), second=hair, low=0.25, moving=1.0
    )
    rows["rubber"] = material(
        street_class, coats["rubber"], second=coats["metal"], high=0.82, moving=1.0
    )

    def world(points: Tensor) -> Tensor:  # (parts, 3) of a person of 1 m -> (b, n * parts, 3)
        local = points * height[..., None, None] * points.new_tensor((1.0, -1.0, 1.0))
        return (
            position[:, :, None] + turn(local, yaw[..., None].expand(local.shape[:-1]))
        ).flatten(1, 2)

    def spread(value: Tensor, parts: int) -> Tensor:
        return value[:, :, None].expand(-1, -1, parts).flatten(1, 2)

    def paint(part_table: tuple) -> Tensor:
        return torch.stack([rows[part[-1]] for part in part_table], dim=2).flatten(1, 2)

    limbs, balls = table
    numbers = torch.tensor([part[:-1] for part in limbs], device=yaw.device)
    radius = (height[..., None] * numbers[:, 6] * thickness).flatten(1)
    sticks = rods(
        world(numbers[:, :3]),
        world(numbers[:, 3:6]),
        radius,
        spread(present, len(limbs)),
        paint(limbs),
    )
    numbers = torch.tensor([part[:-1] for part in balls], device=yaw.device)
    radii = (height[..., None, None] * numbers[:, 3:6]).flatten(1, 2)
    rest = ellipsoids(
        world(numbers[:, :3]),
        radii,
        spread(yaw, len(balls)),
        spread(present, len(balls)),
        paint(balls),
    )
    return Rounds.cat([sticks, rest])


def _shade(position: Tensor, height: Tensor, present: Tensor, sun: Float[Tensor, "b 3"]) -> Shadows:
    throw = sun[:, None, ::2] * (height / sun[:, 1:2].clamp(min=0.1))[..., None]
    across = torch.stack((-throw[..., 1], throw[..., 0]), dim=-1)
    across = 0.26 * across / across.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return shadows(
        position[..., ::2] + throw / 2, across, throw / 2, present, sharpness=4.0, sky=0.3
    )


def draw_walkers(
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> tuple[Rounds, Shadows]:
    """People on the sidewalks, and one who may cross the road."""
    count = 7
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    ahead = near + dice.unit(count) * spread * torch.linspace(0.15, 0.7, count, device=near.device)
    left = dice.chance(count, 0.5)
    kerb = (
        torch.where(left, sides(road.verge[:, :1], count), sides(road.verge[:, 1:], count))
        + road.half_width[:, None]
    )
    wide = torch.where(left, sides(road.sidewalk[:, :1], count), sides(road.sidewalk[:, 1:], count))
    lateral = torch.where(left, -1.0, 1.0) * (kerb + 0.35 + dice.unit(count) * (wide - 0.7))
    crossing = torch.zeros_like(left)
    crossing[:, -1] = True
    lateral = torch.where(
        crossing, dice.uniform(count, -0.9, 0.9) * road.half_width[:, None], lateral
    )
    direction = dice.sign(count)
    step = dice.uniform(count, 0.0, 0.12) * direction * time[:, None]
    ahead = ahead + step * ~crossing
    position, yaw = road.place(lateral + step * crossing, ahead)
    yaw = (
        yaw
        + torch.where(crossing, direction * math.pi / 2, (1 - direction) * math.pi / 2)
        + dice.uniform(count, -0.4, 0.4)
    )
    height = dice.uniform(count, 1.5, 1.92)
    present = dice.unit(count) < torch.where(crossing, 0.3, 0.5 * style.crowd)
    people = _body(
        dice,
        paints,
        Street.PEDESTRIAN,
        (_WALKER_RODS, _WALKER_BALLS),
        position,
        yaw,
        height,
        present,
        1.1,
    )
    return people, _shade(position, height, present, sun)


def draw_cyclists(
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> tuple[Rounds, Shadows]:
    """Cyclists at the edges of the lanes."""
    count = 3
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    side = torch.tensor((1.0, -1.0, 1.0), device=near.device)
    ahead = (
        near + 1.0 + dice.unit(count) * spread * torch.tensor((0.3, 0.4, 0.6), device=near.device)
    )
    ahead = ahead + side * dice.uniform(count, 0.15, 0.5) * time[:, None]
    lateral = side * (road.half_width[:, None] - 2.35 - dice.uniform(count, 0.0, 0.5))
    position, yaw = road.place(lateral, ahead)
    yaw = yaw + math.pi * (side < 0) + dice.uniform(count, -0.15, 0.15)
    height = dice.uniform(count, 1.68, 1.9)
    present = dice.unit(count) < 0.45 * style.crowd
    cyclists = _body(
        dice,
        paints,
        Street.BICYCLIST,
        (_CYCLIST_RODS, _CYCLIST_BALLS),
        position,
        yaw,
        height,
        present,
        1.0,
    )
    return cyclists, _shade(position, height, present, sun)
