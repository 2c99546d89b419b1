"""Cars and trucks: hulls for bodies, rods for wheels, ellipsoids for lamps."""

import math
from dataclasses import dataclass

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

# Places: side (-1 left, 1 right), at the kerb (1) or in the lane (0), probability, metres from the
# first place, share of the spread that is added at random.
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
_CORNERS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0))
_LAMP_RADII = (0.17, 0.09, 0.08)
_LAMP_COLORS = ((0.78, 0.16, 0.16), (0.97, 0.96, 0.9), (0.78, 0.16, 0.16), (0.97, 0.96, 0.9))


@dataclass(frozen=True)
class _Fleet:
    position: Float[Tensor, "b n 3"]
    yaw: Float[Tensor, "b n"]
    present: Bool[Tensor, "b n"]
    moving: Float[Tensor, "b n"]

    def at(self, up: Tensor | float, ahead: Tensor | float) -> Float[Tensor, "b n 3"]:
        """World position of a point on each vehicle's middle plane."""
        zero = torch.zeros_like(self.yaw)
        local = torch.stack((zero, zero - up, zero + ahead), dim=-1)
        return self.position + turn(local, self.yaw)

    def corners(
        self, x: Float[Tensor, "b n"], up: Float[Tensor, "b n"], z: Float[Tensor, "b n"]
    ) -> Float[Tensor, "b 4*n 3"]:
        """World positions of the points (+-x, up, +-z) of each vehicle, in the order of `_CORNERS`."""
        signs = x.new_tensor(_CORNERS)
        local = torch.stack(
            (
                x[..., None] * signs[:, 0],
                -up[..., None].expand(-1, -1, 4),
                z[..., None] * signs[:, 1],
            ),
            dim=-1,
        )
        points = self.position[:, :, None] + turn(
            local, self.yaw[..., None].expand(local.shape[:-1])
        )
        return points.flatten(1, 2)


def _four(value: Tensor) -> Tensor:
    return value.repeat_interleave(4, dim=1)


def _park(
    dice: Dice,
    style: Style,
    road: Road,
    places: tuple[tuple[float, ...], ...],
    time: Float[Tensor, "b"],
) -> _Fleet:
    count = len(places)
    side, kerb, chance, first, share = torch.tensor(places, device=time.device).T[:, None]
    near, spread = dice.uniform(1, *style.near), dice.uniform(1, *style.spread)
    ahead = near + first + dice.unit(count) * share * spread
    speed = dice.uniform(count, 0.3, 1.2) * (1 - kerb) * side
    half_width = road.half_width[:, None]
    lateral = side * torch.where(kerb > 0, half_width - 1.05, 0.5 * half_width)
    ahead = ahead + speed * time[:, None]
    position, yaw = road.place(lateral, ahead)
    yaw = yaw + math.pi * (side < 0) + torch.deg2rad(dice.uniform(count, -3.0, 3.0))
    present = (dice.unit(count) < chance * style.crowd) & (road.clear(ahead, 3.0) | (kerb == 0))
    return _Fleet(position, yaw, present, (1 - kerb).expand(yaw.shape))


def _add_wheels(
    build: Builder,
    paints: Paints,
    fleet: _Fleet,
    street_class: int,
    radius: Float[Tensor, "b n"],
    half_width: Float[Tensor, "b n"],
    half_base: Float[Tensor, "b n"],
) -> None:
    count = fleet.yaw.shape[1]
    rubber, rim = paints("rubber", count, 0.02), paints("metal", count)
    rows = material(street_class, rubber, second=rim, high=0.6, moving=fleet.moving)
    inner = fleet.corners(half_width - 0.22, radius, half_base)
    outer = fleet.corners(half_width + 0.01, radius, half_base)
    build.add_rods(inner, outer, _four(radius), _four(fleet.present), _four(rows))


def _add_lamps(
    build: Builder,
    fleet: _Fleet,
    street_class: int,
    height: Float[Tensor, "b n"],
    half: Float[Tensor, "b n 2"],
) -> None:
    center = fleet.corners(half[..., 0] - 0.22, height, half[..., 1] - 0.03)
    colors = center.new_tensor(_LAMP_COLORS).repeat(fleet.yaw.shape[1], 1).expand(center.shape)
    rows = material(street_class, colors, moving=_four(fleet.moving))
    radii = center.new_tensor(_LAMP_RADII).expand(center.shape)
    build.add_ellipsoids(center, radii, _four(fleet.yaw), _four(fleet.present), rows)


def _add_shadows(
    build: Builder,
    fleet: _Fleet,
    half: Float[Tensor, "b n 2"],
    height: Float[Tensor, "b n"],
    sun: Float[Tensor, "b 3"],
) -> None:
    sine, cosine = fleet.yaw.sin(), fleet.yaw.cos()
    across = torch.stack((cosine, -sine), dim=-1) * half[..., :1]
    along = torch.stack((sine, cosine), dim=-1) * half[..., 1:]
    center, present = fleet.position[..., ::2], fleet.present
    build.add_shadows(
        center, across * 1.08, along * 1.04, present, square=True, sharpness=5.0, sky=0.75
    )
    throw = sun[:, None, ::2] * (0.8 * height / sun[:, 1:2].clamp(min=0.1))[..., None]
    build.add_shadows(
        center + throw / 2, across + throw / 2, along, present, square=True, sharpness=8.0
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
    fleet = _park(dice, style, road, _CARS, time)
    count = len(_CARS)
    size = dice.uniform(count, 0.93, 1.1)
    half = torch.stack((0.88 * size, 2.1 * size), dim=-1)
    waist, roof = 0.92 * size, dice.uniform(count, 1.4, 1.72) * size
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
    _add_wheels(build, paints, fleet, Street.CAR, 0.32 * size, half[..., 0], 1.3 * size)
    _add_lamps(build, fleet, Street.CAR, 0.66 * size, half)
    _add_shadows(build, fleet, half, roof, sun)


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
    fleet = _park(dice, style, road, _TRUCKS, time)
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
    _add_wheels(build, paints, fleet, Street.TRUCK, 0.45 * size, 1.12 * size, 0.75 * box[..., 1])
    half = torch.stack((box[..., 0], box[..., 1] + 0.8 * size), dim=-1)
    _add_shadows(build, fleet, half, top, sun)
