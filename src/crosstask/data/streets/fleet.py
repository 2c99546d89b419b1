"""A fleet of vehicles: where they stand, and the parts that all of them have (wheels, lamps, shadows)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.data.streets.builder import Builder
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.materials import material
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import turn
from crosstask.data.streets.road import Road
from crosstask.data.streets.style import Style

_CORNERS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0))
_LAMP_RADII = (0.17, 0.09, 0.08)
_LAMP_COLORS = ((0.78, 0.16, 0.16), (0.97, 0.96, 0.9), (0.78, 0.16, 0.16), (0.97, 0.96, 0.9))


@dataclass(frozen=True)
class Fleet:
    """Position on the ground, heading, and whether each vehicle is there and moves (1)."""

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


def park(
    dice: Dice,
    style: Style,
    road: Road,
    places: tuple[tuple[float, ...], ...],
    time: Float[Tensor, "b"],
) -> Fleet:
    """Draw where the vehicles of a list of places are at ``time``.

    Args:
        places: side (-1 left, 1 right), at the kerb (1) or in the lane (0), probability, metres from the first place,
            share of the spread that is added at random.
    """
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
    return Fleet(position, yaw, present, (1 - kerb).expand(yaw.shape))


def add_wheels(
    build: Builder,
    paints: Paints,
    fleet: Fleet,
    street_class: int,
    radius: Float[Tensor, "b n"],
    half_width: Float[Tensor, "b n"],
    half_base: Float[Tensor, "b n"],
) -> None:
    """Four wheels with rims for each vehicle."""
    count = fleet.yaw.shape[1]
    rubber, rim = paints("rubber", count, 0.02), paints("metal", count)
    rows = material(street_class, rubber, second=rim, high=0.6, moving=fleet.moving)
    inner = fleet.corners(half_width - 0.22, radius, half_base)
    outer = fleet.corners(half_width + 0.01, radius, half_base)
    build.add_rods(inner, outer, _four(radius), _four(fleet.present), _four(rows))


def add_lamps(
    build: Builder,
    fleet: Fleet,
    street_class: int,
    height: Float[Tensor, "b n"],
    half: Float[Tensor, "b n 2"],
) -> None:
    """Two white lamps ahead and two red ones behind."""
    center = fleet.corners(half[..., 0] - 0.22, height, half[..., 1] - 0.03)
    colors = center.new_tensor(_LAMP_COLORS).repeat(fleet.yaw.shape[1], 1).expand(center.shape)
    rows = material(street_class, colors, moving=_four(fleet.moving))
    radii = center.new_tensor(_LAMP_RADII).expand(center.shape)
    build.add_ellipsoids(center, radii, _four(fleet.yaw), _four(fleet.present), rows)


def add_shadows(
    build: Builder,
    fleet: Fleet,
    half: Float[Tensor, "b n 2"],
    height: Float[Tensor, "b n"],
    sun: Float[Tensor, "b 3"],
) -> None:
    """The dark ground below a vehicle, and the shadow that the sun casts."""
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
