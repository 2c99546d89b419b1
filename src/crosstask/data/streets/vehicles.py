"""Cars and trucks: hulls for bodies, rods for wheels, ellipsoids for lamps."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import (
    Hulls,
    Rounds,
    Shadows,
    ellipsoids,
    hulls,
    rods,
    shadows,
    turn,
)
from crosstask.data.streets.road import Road
from crosstask.data.streets.style import Style

# Places: (side: -1 left, 1 right; at the kerb: 1, in the lane: 0; probability; metres from the first place; spread's share)
_CARS = (
    (1, 1, 0.55, 0, 0.1),
    (1, 1, 0.5, 7, 0.2),
    (1, 1, 0.5, 15, 0.6),
    (-1, 1, 0.55, 1, 0.2),
    (-1, 1, 0.5, 9, 0.3),
    (-1, 1, 0.4, 17, 0.6),
    (-1, 0, 0.5, 3, 0.6),
    (1, 0, 0.5, 4, 0.5),
)
_TRUCKS = (
    (1, 1, 0.28, 24, 0.4),
    (-1, 1, 0.3, 27, 0.3),
    (-1, 0, 0.3, 22, 0.6),
    (1, 0, 0.28, 18, 0.6),
)


@dataclass(frozen=True)
class _Fleet:
    position: Float[Tensor, "b n 3"]
    yaw: Float[Tensor, "b n"]
    present: Bool[Tensor, "b n"]
    moving: Float[Tensor, "b n"]

    def at(
        self, x: Tensor | float, up: Tensor | float, z: Tensor | float
    ) -> Float[Tensor, "b n 3"]:
        """World position of a point given in each vehicle's own axes."""
        zero = torch.zeros_like(self.yaw)
        return self.position + turn(torch.stack((zero + x, zero - up, zero + z), dim=-1), self.yaw)


def _park(dice: Dice, style: Style, road: Road, places: tuple, time: Float[Tensor, "b"]) -> _Fleet:
    count = len(places)
    side, kerb, chance, first, share = torch.tensor(
        places, dtype=torch.float32, device=time.device
    ).T[:, None]
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    ahead = near + first + dice.unit(count) * share * spread
    speed = dice.uniform(count, 0.3, 1.2) * (1 - kerb) * side
    lane = 0.5 * road.half_width[:, None] * (1 - kerb) + (road.half_width[:, None] - 1.05) * kerb
    ahead = ahead + speed * time[:, None]
    position, yaw = road.place(side * lane, ahead)
    yaw = yaw + math.pi * (side < 0) + torch.deg2rad(dice.uniform(count, -3.0, 3.0))
    present = dice.unit(count) < chance * style.crowd
    present = present & (road.clear(ahead, 3.0) | (kerb == 0))
    return _Fleet(position, yaw, present, (1 - kerb).expand(yaw.shape))


def _wheels(
    dice: Dice,
    paints: Paints,
    fleet: _Fleet,
    street_class: int,
    radius: Tensor,
    half_width: Tensor,
    half_base: Tensor,
) -> Rounds:
    count = fleet.yaw.shape[1]
    rubber, rim = paints("rubber", count, 0.02), paints("metal", count)
    rows = material(
        street_class, rubber, second=rim, high=0.6, texture="plain", moving=fleet.moving
    )
    parts = []
    for side in (-1.0, 1.0):
        for end in (-1.0, 1.0):
            inner = fleet.at(side * (half_width - 0.22), radius, end * half_base)
            outer = fleet.at(side * (half_width + 0.01), radius, end * half_base)
            parts.append(rods(inner, outer, radius, fleet.present, rows))
    return Rounds.cat(parts)


def _lamps(
    fleet: _Fleet, street_class: int, height: Tensor, half_width: Tensor, half_length: Tensor
) -> Rounds:
    parts = []
    radii = fleet.position.new_tensor((0.17, 0.09, 0.08)).expand(fleet.position.shape)
    for end, color in ((1.0, (0.95, 0.93, 0.82)), (-1.0, (0.62, 0.03, 0.03))):
        rows = material(
            street_class,
            fleet.position.new_tensor(color).expand(fleet.position.shape),
            moving=fleet.moving,
        )
        for side in (-1.0, 1.0):
            center = fleet.at(side * (half_width - 0.22), height, end * (half_length - 0.03))
            parts.append(ellipsoids(center, radii, fleet.yaw, fleet.present, rows))
    return Rounds.cat(parts)


def _ground_shadows(
    fleet: _Fleet, half: Float[Tensor, "b n 2"], height: Tensor, sun: Float[Tensor, "b 3"]
) -> Shadows:
    sine, cosine = fleet.yaw.sin(), fleet.yaw.cos()
    across = torch.stack((cosine, -sine), dim=-1) * half[..., :1]
    along = torch.stack((sine, cosine), dim=-1) * half[..., 1:]
    center = fleet.position[..., ::2]
    contact = shadows(
        center, across * 1.08, along * 1.04, fleet.present, square=True, sharpness=5.0, sky=0.75
    )
    throw = sun[:, None, ::2] * (0.8 * height / sun[:, 1:2].clamp(min=0.1))[..., None]
    cast = shadows(
        center + throw / 2, across + throw / 2, along, fleet.present, square=True, sharpness=8.0
    )
    return Shadows.cat([contact, cast])


def draw_cars(
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> tuple[Hulls, Rounds, Shadows]:
    """Parked, oncoming and leading cars."""
    fleet = _park(dice, style, road, _CARS, time)
    count = len(_CARS)
    size = dice.uniform(count, 0.93, 1.1)
    half = torch.stack((0.88 * size, 2.1 * size), dim=-1)
    waist, roof = 0.92 * size, dice.uniform(count, 1.4, 1.72) * size
    paint, glass = paints("car", count), paints("glass", count, 0.02)
    one = torch.ones_like(size)
    body = material(
        Street.CAR,
        paint,
        second=paint * 0.12 + 0.01,
        low=-0.1,
        high=0.14,
        u=(1e4, 1.0, 0.5),
        moving=fleet.moving,
    )
    lower = hulls(
        fleet.at(0.0, 0.24, 0.0),
        fleet.yaw,
        half,
        waist - 0.24,
        fleet.present,
        body,
        lean=(0.06, 0.1, 0.1),
        slope=(0 * one, 0.5 * size, 0.2 * one),
    )
    cabin_half = torch.stack((0.8 * size, dice.uniform(count, 1.15, 1.6) * size), dim=-1)
    window = (cabin_half[..., 1] * 1.1, 0.84, 0.08)
    cabin = material(
        Street.CAR,
        paint,
        second=glass,
        top=paint,
        top_from=0.92,
        u=window,
        low=0.05,
        high=roof - waist - 0.07,
        variation=0.15,
        moving=fleet.moving,
    )
    upper = hulls(
        fleet.at(0.0, waist, -0.25 * size),
        fleet.yaw,
        cabin_half,
        roof - waist,
        fleet.present,
        cabin,
        lean=(0.28, 1.15, 0.7),
    )
    wheels = _wheels(dice, paints, fleet, Street.CAR, 0.32 * size, half[..., 0], 1.3 * size)
    lamps = _lamps(fleet, Street.CAR, 0.66 * size, half[..., 0], half[..., 1])
    return (
        Hulls.cat([lower, upper]),
        Rounds.cat([wheels, lamps]),
        _ground_shadows(fleet, half, roof, sun),
    )


def draw_trucks(
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> tuple[Hulls, Rounds, Shadows]:
    """Vans and box trucks: a cargo box behind a driver's cab."""
    fleet = _park(dice, style, road, _TRUCKS, time)
    count = len(_TRUCKS)
    size = dice.uniform(count, 0.8, 1.12)
    box_half = torch.stack((1.15 * size, dice.uniform(count, 2.2, 3.4) * size), dim=-1)
    top = dice.uniform(count, 2.5, 3.3) * size
    paint, stripe = paints("truck", count), paints("truck", count)
    glass = paints("glass", count, 0.02)
    band = dice.uniform(count, 0.3, 0.9)
    cargo = material(
        Street.TRUCK,
        paint,
        second=stripe,
        u=(1e4, 1.0, 0.5),
        low=band,
        high=band + dice.uniform(count, 0.2, 0.7),
        moving=fleet.moving,
    )
    rear = hulls(
        fleet.at(0.0, 0.55, -0.9 * size), fleet.yaw, box_half, top - 0.55, fleet.present, cargo
    )
    front = box_half[..., 1] - 0.9 * size
    cab_half = torch.stack((1.08 * size, 0.85 * size), dim=-1)
    cab_rows = material(
        Street.TRUCK,
        stripe,
        second=glass,
        top=stripe,
        top_from=0.95,
        u=(1.7 * size, 0.86, 0.07),
        low=1.0 * size,
        high=1.75 * size,
        moving=fleet.moving,
    )
    cab = hulls(
        fleet.at(0.0, 0.45, front + 0.8 * size),
        fleet.yaw,
        cab_half,
        2.0 * size,
        fleet.present,
        cab_rows,
        lean=(0.03, 0.22, 0.0),
    )
    wheels = _wheels(
        dice, paints, fleet, Street.TRUCK, 0.45 * size, 1.12 * size, 0.75 * box_half[..., 1]
    )
    half = box_half + torch.stack((torch.zeros_like(size), 0.8 * size), dim=-1)
    return Hulls.cat([rear, cab]), wheels, _ground_shadows(fleet, half, top, sun)
