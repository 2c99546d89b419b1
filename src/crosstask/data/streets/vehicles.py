"""Cars and trucks: hulls for bodies, rods for wheels, ellipsoids for lamps."""

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.data.streets.builder import Builder
from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.fleet import Fleet, add_lamps, add_shadows, add_wheels, park
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.road import Road
from crosstask.data.streets.style import Style

# Places as `park` takes them.
_CARS = (
    (1.0, 1.0, 0.55, 0.0, 0.1),
    (1.0, 1.0, 0.5, 7.0, 0.2),
    (1.0, 1.0, 0.5, 15.0, 0.6),
    (-1.0, 1.0, 0.55, 1.0, 0.2),
    (-1.0, 1.0, 0.5, 9.0, 0.3),
    (-1.0, 1.0, 0.4, 17.0, 0.6),
    (-1.0, 0.0, 0.5, 3.0, 0.6),
    (1.0, 0.0, 0.5, 4.0, 0.5),
)
_TRUCKS = (
    (1.0, 1.0, 0.28, 24.0, 0.4),
    (-1.0, 1.0, 0.3, 27.0, 0.3),
    (-1.0, 0.0, 0.3, 22.0, 0.6),
    (1.0, 0.0, 0.28, 18.0, 0.6),
)


def _add_car_bodies(
    build: Builder,
    dice: Dice,
    paints: Paints,
    fleet: Fleet,
    size: Float[Tensor, "b n"],
    roof: Float[Tensor, "b n"],
) -> None:
    count, waist = size.shape[1], 0.92 * size
    half = torch.stack((0.88 * size, 2.1 * size), dim=-1)
    paint, glass = paints("car", count), paints("glass", count, 0.02)
    body = material(
        Street.CAR,
        paint,
        second=paint * 0.35 + 0.02,
        low=-0.1,
        high=0.14,
        u=(1e4, 1.0, 0.5),
        moving=fleet.moving,
    )
    bonnet = torch.stack((0 * size, 0.5 * size, 0 * size + 0.2), dim=-1)
    base = fleet.at(0.24, 0.0)
    build.add_hulls(
        base,
        fleet.yaw,
        half,
        waist - 0.24,
        fleet.present,
        body,
        lean=(0.06, 0.1, 0.1),
        slope=bonnet,
    )
    cabin_half = torch.stack((0.8 * size, dice.uniform(count, 1.15, 1.6) * size), dim=-1)
    cabin = material(
        Street.CAR,
        paint,
        second=glass,
        top=paint,
        top_from=0.92,
        u=(cabin_half[..., 1] * 1.1, 0.84, 0.08),
        low=0.05,
        high=roof - waist - 0.07,
        variation=0.15,
        moving=fleet.moving,
    )
    base = fleet.at(waist, -0.25 * size)
    build.add_hulls(
        base, fleet.yaw, cabin_half, roof - waist, fleet.present, cabin, lean=(0.28, 1.15, 0.7)
    )


def add_cars(
    build: Builder,
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> None:
    """Parked, oncoming and leading cars."""
    fleet = park(dice, style, road, _CARS, time)
    count = len(_CARS)
    size = dice.uniform(count, 0.93, 1.1)
    half = torch.stack((0.88 * size, 2.1 * size), dim=-1)
    roof = dice.uniform(count, 1.4, 1.72) * size
    _add_car_bodies(build, dice, paints, fleet, size, roof)
    add_wheels(build, paints, fleet, Street.CAR, 0.32 * size, half[..., 0], 1.3 * size)
    add_lamps(build, fleet, Street.CAR, 0.66 * size, half)
    add_shadows(build, fleet, half, roof, sun)


def add_trucks(
    build: Builder,
    dice: Dice,
    paints: Paints,
    style: Style,
    road: Road,
    sun: Float[Tensor, "b 3"],
    time: Float[Tensor, "b"],
) -> None:
    """Vans and box trucks: a cargo box behind a driver's cab."""
    fleet = park(dice, style, road, _TRUCKS, time)
    count = len(_TRUCKS)
    size = dice.uniform(count, 0.8, 1.12)
    box = torch.stack((1.15 * size, dice.uniform(count, 2.2, 3.4) * size), dim=-1)
    top = dice.uniform(count, 2.5, 3.3) * size
    paint, stripe = paints("truck", count), paints("truck", count)
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
    build.add_hulls(fleet.at(0.55, -0.9 * size), fleet.yaw, box, top - 0.55, fleet.present, cargo)
    cab_half = torch.stack((1.08 * size, 0.85 * size), dim=-1)
    cab = material(
        Street.TRUCK,
        stripe,
        second=paints("glass", count, 0.02),
        top_from=0.95,
        top=stripe,
        u=(1.7 * size, 0.86, 0.07),
        low=1.0 * size,
        high=1.75 * size,
        moving=fleet.moving,
    )
    base = fleet.at(0.45, box[..., 1] - 0.1 * size)
    build.add_hulls(
        base, fleet.yaw, cab_half, 2.0 * size, fleet.present, cab, lean=(0.03, 0.22, 0.0)
    )
    add_wheels(build, paints, fleet, Street.TRUCK, 0.45 * size, 1.12 * size, 0.75 * box[..., 1])
    half = torch.stack((box[..., 0], box[..., 1] + 0.8 * size), dim=-1)
    add_shadows(build, fleet, half, top, sun)
