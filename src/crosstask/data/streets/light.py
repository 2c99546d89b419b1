"""Shadows on the ground, sun and sky on surfaces, haze in between, and the sensor at the end."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets.dice import mix
from crosstask.data.streets.scene import Light, Scene
from crosstask.data.streets.texture import Atlas
from crosstask.data.streets.tiles import Grid, find_candidates, screen_bounds


def ground_shadows(
    scene: Scene, grid: Grid, point: Float[Tensor, "tiles s s 3"]
) -> tuple[Float[Tensor, "tiles s s"], Float[Tensor, "tiles s s"]]:
    """Share of the sun and of the sky that reaches ground points; meaningless for pixels that show no ground."""
    patches = scene.shadows
    bounds, _ = screen_bounds(patches.corners, scene.camera)
    found = find_candidates(bounds, patches.present, grid)
    x, z = point[..., 0][found.order], point[..., 2][found.order]
    sun, sky = torch.ones_like(x), torch.ones_like(x)
    table = torch.cat(
        (
            patches.center,
            patches.matrix.flatten(2),
            patches.square[..., None],
            patches.sharpness[..., None],
            patches.sun[..., None],
            patches.sky[..., None],
        ),
        dim=-1,
    )
    table = table.flatten(0, 1)[found.primitive][..., None, None]
    start = 0
    for count in found.counts:
        cx, cz, xx, xz, zx, zz, square, sharpness, of_sun, of_sky = table[
            start : start + count
        ].unbind(1)
        dx, dz = x[:count] - cx, z[:count] - cz
        first, second = (xx * dx + xz * dz).abs(), (zx * dx + zz * dz).abs()
        distance = torch.where(
            square > 0.5, torch.maximum(first, second), torch.hypot(first, second)
        )
        cover = ((1 - distance) * sharpness).clamp_(0.0, 1.0)
        torch.minimum(sun[:count], 1 - cover * of_sun, out=sun[:count])
        sky[:count] *= 1 - cover * of_sky
        start += count
    back_sun, back_sky = torch.empty_like(sun), torch.empty_like(sky)
    back_sun[found.order], back_sky[found.order] = sun, sky
    return back_sun, back_sky


def illuminate(
    light: Light,
    albedo: Float[Tensor, "b p 3"],
    normal: Float[Tensor, "b p 3"],
    sun: Float[Tensor, "b p"],
    sky: Float[Tensor, "b p"],
    depth: Float[Tensor, "b p"],
) -> Float[Tensor, "b p 3"]:
    """Linear radiance of lit surfaces behind haze: Lambert's law for the sun, a brighter sky above than below."""
    facing = -(normal * light.sun[:, None]).sum(-1)
    direct = facing.clamp_(min=0).mul_(sun)[..., None] * light.direct[:, None]
    around = (0.70 - 0.30 * normal[..., 1]).mul_(sky)[..., None] * light.ambient[:, None]
    clear = torch.exp(-light.haze[:, None] * depth)[..., None]
    return torch.lerp(light.air[:, None], albedo * (direct + around), clear)


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
