"""Shadows on the ground, sun and sky on surfaces, haze in between, and the sensor at the end."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets.dice import mix
from crosstask.data.streets.scene import Light, Scene
from crosstask.data.streets.texture import Atlas
from crosstask.data.streets.tiles import Grid, find_candidates, screen_bounds


def ground_shadows(
    scene: Scene, grid: Grid, x: Float[Tensor, "tiles s s"], z: Float[Tensor, "tiles s s"]
) -> tuple[Float[Tensor, "tiles s s"], Float[Tensor, "tiles s s"]]:
    """Share of the sun and of the sky that reaches ground points (x, z); for other pixels it says nothing."""
    patches = scene.shadows
    bounds = screen_bounds(patches.corners, scene.camera)
    found = find_candidates(bounds, patches.present, grid)
    x, z = x.index_select(0, found.order), z.index_select(0, found.order)
    sun, sky = torch.ones_like(x), torch.ones_like(x)
    table = patches.table.flatten(0, 1).index_select(0, found.primitive)[..., None, None]
    start = 0
    for count in found.counts:
        columns = table[start : start + count].unbind(1)
        cx, cz, xx, xz, zx, zz, square, sharpness, of_sun, of_sky = columns
        dx, dz = x[:count] - cx, z[:count] - cz
        first, second = (xx * dx).addcmul_(xz, dz).abs_(), (zx * dx).addcmul_(zz, dz).abs_()
        distance = torch.where(
            square > 0.5, torch.maximum(first, second), torch.hypot(first, second)
        )
        cover = ((1 - distance) * sharpness).clamp_(0.0, 1.0)
        torch.minimum(sun[:count], 1 - cover * of_sun, out=sun[:count])
        sky[:count] *= 1 - cover * of_sky
        start += count
    return found.restore(sun), found.restore(sky)


def illuminate(
    light: Light,
    albedo: Float[Tensor, "3 b p"],
    normal: Float[Tensor, "3 b p"],
    sun: Float[Tensor, "b p"],
    sky: Float[Tensor, "b p"],
    depth: Float[Tensor, "b p"],
) -> Float[Tensor, "3 b p"]:
    """Linear radiance of lit surfaces behind haze: Lambert's law for the sun, a brighter sky above than below."""
    toward = -light.sun.T[..., None]
    facing = normal[0] * toward[0]
    facing.addcmul_(normal[1], toward[1]).addcmul_(normal[2], toward[2]).clamp_(min=0).mul_(sun)
    around = (0.70 - 0.30 * normal[1]).mul_(sky)
    lit = facing * light.direct.T[..., None]
    lit.addcmul_(around, light.ambient.T[..., None]).mul_(albedo)
    clear = torch.exp(-light.haze[:, None] * depth)
    return torch.lerp(light.air.T[..., None], lit, clear)


def expose(
    radiance: Float[Tensor, "b 3 h w"], light: Light, keys: Int64[Tensor, "b"], atlas: Atlas
) -> Float[Tensor, "b 3 h w"]:
    """The sensor: exposure, a square-root tone curve with a soft shoulder, vignetting and noise; values in [0, 1].

    Args:
        keys: of the noise, one per image.
    """
    height, width = radiance.shape[-2:]
    signal = (radiance * light.exposure[:, None, None, None]).clamp_(min=0).sqrt_()
    signal = signal * (1.12 - 0.17 * signal)
    row = torch.linspace(-1, 1, height, device=signal.device)[:, None]
    column = torch.linspace(-1, 1, width, device=signal.device)
    signal = signal * (1 - 0.06 * (row**2 + column**2))
    index = torch.arange(6, device=keys.device)
    shift = (mix(mix(keys)[:, None] + index) & 0xFFFF).unflatten(1, (3, 2))
    noise = atlas.white((height, width), shift) * light.noise[:, None, None, None]
    return (signal + noise).clamp_(0.0, 1.0)
