"""A batch of street scenes: ground, solids, shadows, light and camera, drawn from seeds."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets import buildings, furniture, people, vehicles
from crosstask.data.streets.builder import Builder
from crosstask.data.streets.camera import Camera, draw_camera
from crosstask.data.streets.dice import Dice
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import Hulls, Rounds, Shadows
from crosstask.data.streets.road import Road, draw_road
from crosstask.data.streets.style import Style


@dataclass(frozen=True)
class Light:
    """Light, air and sensor of each scene.

    Attributes:
        sun: direction in which light travels. direct, ambient: linear RGB of the sun's and the sky's light.
        haze: 1/metres. air: linear RGB of the haze and the horizon. zenith: of the sky above.
        exposure: factor. noise: standard deviation. clouds: share of the sky. shift: offset of the clouds.
    """

    sun: Float[Tensor, "b 3"]
    direct: Float[Tensor, "b 3"]
    ambient: Float[Tensor, "b 3"]
    haze: Float[Tensor, "b"]
    air: Float[Tensor, "b 3"]
    zenith: Float[Tensor, "b 3"]
    exposure: Float[Tensor, "b"]
    noise: Float[Tensor, "b"]
    contrast: Float[Tensor, "b"]
    clouds: Float[Tensor, "b"]
    shift: Float[Tensor, "b 2"]


@dataclass(frozen=True)
class Scene:
    """Everything that the ray caster and the shading need, one row per image."""

    camera: Camera
    road: Road
    hulls: Hulls
    rounds: Rounds
    shadows: Shadows
    light: Light


def _draw_light(dice: Dice, style: Style) -> Light:
    sun = furniture.sun_direction(dice, style)
    warmth = dice.uniform(1, *style.warmth)
    tint = torch.cat((1 + warmth, torch.ones_like(warmth), 1 - warmth), dim=1)
    strength, ambient = dice.uniform(1, *style.sun), dice.uniform(1, *style.ambient)
    overcast = 1 - (strength / 0.7).clamp(max=1.0)
    blue = torch.tensor((0.22, 0.47, 0.88), device=sun.device) ** 2
    grey = torch.tensor((0.72, 0.74, 0.77), device=sun.device) ** 2
    white = torch.tensor((0.80, 0.88, 0.97), device=sun.device) ** 2
    zenith = torch.lerp(blue.expand_as(tint), grey, overcast) * (0.8 + 0.4 * dice.unit(1))
    air = torch.lerp(white.expand_as(tint), grey * 1.15, overcast) * tint.sqrt()
    cool = torch.cat(
        (1 - 0.06 * (1 - overcast), torch.ones_like(warmth), 1 + 0.10 * (1 - overcast)), dim=1
    )
    return Light(
        sun,
        strength * tint,
        ambient * tint.sqrt() * cool,
        dice.uniform(1, *style.haze)[:, 0],
        air,
        zenith,
        dice.uniform(1, *style.exposure)[:, 0],
        dice.uniform(1, *style.noise)[:, 0],
        dice.uniform(1, *style.contrast)[:, 0],
        dice.unit(1)[:, 0] * 0.7 + 0.2 * overcast[:, 0],
        dice.uniform(2, 0.0, 100.0),
    )


def draw_scenes(
    keys: Int64[Tensor, "b"], style: Style, size: tuple[int, int], time: Float[Tensor, "b"]
) -> Scene:
    """Draw one scene per key, as it is at ``time`` (in frames)."""
    dice = Dice(keys)
    paints = Paints(dice, style)
    road = draw_road(dice, paints, style)
    camera = draw_camera(dice, style, size, 0.5 * road.half_width - 0.2, time)
    light = _draw_light(dice, style)
    sun, contrast = light.sun, light.contrast[:, None]
    build = Builder()
    buildings.add_buildings(build, dice, paints, road, sun, contrast)
    buildings.add_backdrop(build, dice, paints, road, contrast)
    buildings.add_fences(build, dice, paints, road)
    vehicles.add_cars(build, dice, paints, style, road, sun, time)
    vehicles.add_trucks(build, dice, paints, style, road, sun, time)
    people.add_walkers(build, dice, paints, style, road, sun, time)
    people.add_cyclists(build, dice, paints, style, road, sun, time)
    furniture.add_trees(build, dice, paints, style, road, sun)
    furniture.add_bushes(build, dice, paints, road)
    furniture.add_lamps(build, dice, paints, style, road)
    furniture.add_signs(build, dice, paints, style, road)
    hulls, rounds, shadows = build.build(paints)
    return Scene(camera, road, hulls, rounds, shadows, light)
