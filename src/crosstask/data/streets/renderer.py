"""Street scenes from seeds: images with segmentation, depth, normals, edges and camera, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import mix
from crosstask.data.streets.light import expose, ground_shadows, illuminate
from crosstask.data.streets.raycast import GROUND, SKY, trace
from crosstask.data.streets.scene import Scene, draw_scenes
from crosstask.data.streets.style import EASY, Style
from crosstask.data.streets.surfaces import (
    Surface,
    shade_ground,
    shade_hulls,
    shade_rounds,
    shade_sky,
)
from crosstask.data.streets.texture import Atlas
from crosstask.data.streets.tiles import TILE, Grid
from crosstask.geometry import edges_from_labels

VERSION = "1"
"""Changes whenever a seed would give other pixels; part of every cache and of every run's record."""

_CENTERS = ((0.0, 0.0),)
_QUINCUNX = ((0.0, 0.0), (-0.5, -0.5))


@dataclass(frozen=True)
class _Pixels:
    """All pixels of all views, per scene."""

    radiance: Float[Tensor, "b p 3"]
    normal: Float[Tensor, "b p 3"]
    label: Int64[Tensor, "b p"]
    moving: Tensor
    inverse_depth: Float[Tensor, "b p"]


def _shade(scene: Scene, grid: Grid, atlas: Atlas) -> _Pixels:
    hits, planes, normals = trace(scene, grid)
    count, device = len(scene.light.haze), hits.inverse_depth.device
    inverse, winner = hits.inverse_depth.reshape(count, -1), hits.primitive.reshape(count, -1)
    steps = torch.arange(TILE, device=device, dtype=torch.float32)
    origins = grid.origins.float()
    u = (origins[:, 0, None, None] + steps).expand(-1, TILE, -1).reshape(-1)
    v = (origins[:, 1, None, None] + steps[:, None]).expand(-1, -1, TILE).reshape(-1)
    turn = scene.camera.directions().float()[:, None]
    ray = u[:, None] * turn[..., 0] + v[:, None] * turn[..., 1] + turn[..., 2]
    depth = 1 / inverse.clamp(min=1e-3)
    point = scene.camera.position.float()[:, None] + ray * depth[..., None]
    ray = ray / ray.norm(dim=-1, keepdim=True)
    sun, sky = (
        value.reshape(count, -1)
        for value in ground_shadows(scene, grid, point.unflatten(1, (-1, TILE, TILE)).flatten(0, 1))
    )
    angle = 1 / scene.camera.intrinsics[:, 0, 0].float()[:, None]
    footprint = depth * angle

    albedo, normal = torch.zeros_like(point).reshape(-1, 3), torch.zeros_like(point).reshape(-1, 3)
    label = torch.full((count * len(u),), int(Street.SKY), device=device)
    moving = torch.zeros_like(label, dtype=torch.bool)
    flat = winner.reshape(-1)
    hulls = scene.hulls.present.shape[1]
    rounds = scene.rounds.present.shape[1]
    points, rays, prints = point.reshape(-1, 3), ray.reshape(-1, 3), footprint.reshape(-1)

    def write(where: Tensor, surface: Surface) -> None:
        albedo[where], normal[where] = surface.albedo, surface.normal
        label[where], moving[where] = surface.label, surface.moving

    where = ((flat >= 0) & (flat < hulls)).nonzero()[:, 0]
    which = where // len(u) * hulls + flat[where]
    pixel = torch.stack((u, v), dim=-1)[where % len(u)]
    write(
        where,
        shade_hulls(
            scene.hulls,
            planes,
            normals,
            which,
            pixel,
            points[where],
            rays[where],
            prints[where],
            atlas,
        ),
    )
    where_round = (flat >= hulls).nonzero()[:, 0]
    which = where_round // len(u) * rounds + flat[where_round] - hulls
    write(
        where_round,
        shade_rounds(
            scene.rounds, which, points[where_round], rays[where_round], prints[where_round], atlas
        ),
    )
    where_ground = (flat == GROUND).nonzero()[:, 0]
    write(
        where_ground,
        shade_ground(
            scene.road,
            where_ground // len(u),
            points[where_ground],
            rays[where_ground],
            prints[where_ground],
            atlas,
        ),
    )
    lit = flat.reshape(count, -1) == GROUND
    sun, sky = torch.where(lit, sun, 1.0), torch.where(lit, sky, 1.0)
    radiance = illuminate(
        scene.light, albedo.reshape(point.shape), normal.reshape(point.shape), sun, sky, depth
    ).reshape(-1, 3)
    above = (flat == SKY).nonzero()[:, 0]
    of = above // len(u)
    light = scene.light
    radiance[above] = shade_sky(
        rays[above],
        light.air[of],
        light.zenith[of],
        light.clouds[of],
        light.shift[of],
        angle[of, 0],
        atlas,
    )
    return _Pixels(
        radiance.reshape(point.shape),
        normal.reshape(point.shape),
        label.reshape(count, -1),
        moving.reshape(count, -1),
        inverse,
    )


def _image(
    pixels: _Pixels, scene: Scene, grid: Grid, size: tuple[int, int], keys: Tensor, atlas: Atlas
) -> Tensor:
    views = grid.image(pixels.radiance.reshape(-1, TILE, TILE, 3), size).permute(0, 1, 4, 2, 3)
    color = views[0]
    if grid.views == 2:
        corner = torch.nn.functional.pad(views[1], (0, 1, 0, 1), mode="replicate")
        across = corner[..., :-1] + corner[..., 1:]
        color = 0.5 * color + 0.125 * (across[..., :-1, :] + across[..., 1:, :])
    return expose(color, scene.light, keys, atlas).mul_(255).round_().div_(255)


class Renderer:
    """Draws and renders scenes on one device.

    Args:
        style: what the streets look like.
        size: height and width of the images, at least 16 each.
        far: metres beyond which depth is void.
        antialias: five rays shared between neighbouring pixels instead of one (labels always take the pixel's centre).
    """

    def __init__(
        self,
        style: Style = EASY,
        size: tuple[int, int] = (128, 256),
        device: torch.device | str = "cpu",
        *,
        far: float = 80.0,
        antialias: bool = True,
    ) -> None:
        if min(size) < TILE:
            raise ValueError(
                f"`size` is {size}; expected a height and width of at least {TILE}; enlarge it"
            )
        self.style, self.size, self.far = style, tuple(size), far
        self.device = torch.device(device)
        self._atlas = Atlas(self.device)
        self._grid = Grid.over(size, _QUINCUNX if antialias else _CENTERS, self.device)
        self._plain = Grid.over(size, _CENTERS, self.device)

    @torch.no_grad()
    def __call__(
        self, seeds: Int64[Tensor, "b"], offsets: Sequence[int] = (), *, motion: bool = False
    ) -> dict[str, Tensor]:
        """Render one scene per seed.

        Args:
            offsets: frames before (negative) and after, of which images and poses are wanted too.
            motion: add ``moving`` (b, 1, h, w) bool, the pixels of vehicles and people that move by themselves.

        Returns:
            image, segmentation, depth, normals, edges, intrinsics as every dataset of the library has them, with a batch
            axis; with ``offsets`` also neighbours (b, k, 3, h, w) and poses (b, k, 4, 4).
        """
        seeds = seeds.to(self.device)
        scene, pixels = self._frame(seeds, 0)
        result = {
            "image": _image(pixels, scene, self._grid, self.size, mix(seeds), self._atlas),
            **self._labels(scene, pixels),
        }
        if motion:
            result["moving"] = self._first(pixels.moving)[:, None]
        if offsets:
            frames, poses = [], []
            for offset in offsets:
                other, its = self._frame(seeds, offset)
                frames.append(
                    _image(its, other, self._grid, self.size, mix(seeds) + 7 * offset, self._atlas)
                )
                poses.append(scene.camera.pose_to(other.camera))
            result["neighbours"], result["poses"] = (
                torch.stack(frames, dim=1),
                torch.stack(poses, dim=1),
            )
        return result

    def _frame(self, seeds: Tensor, offset: int) -> tuple[Scene, _Pixels]:
        time = torch.full(seeds.shape, float(offset), device=self.device)
        scene = draw_scenes(seeds, self.style, self.size, time)
        return scene, _shade(scene, self._grid, self._atlas)

    def _first(self, values: Tensor) -> Tensor:
        rest = values.shape[2:]
        return self._grid.image(values.reshape(-1, TILE, TILE, *rest), self.size)[0]

    def _labels(self, scene: Scene, pixels: _Pixels) -> dict[str, Tensor]:
        segmentation, inverse = self._first(pixels.label), self._first(pixels.inverse_depth)
        depth = torch.where(inverse > 1 / self.far, 1 / inverse.clamp(min=1e-6), 0.0)
        depth = depth * (segmentation != Street.SKY)
        world = self._first(pixels.normal)
        turn = scene.camera.rotation.float()[:, None, None]
        normals = (world[..., None] * turn).sum(-2).permute(0, 3, 1, 2).contiguous()
        return {
            "segmentation": segmentation.contiguous(),
            "depth": depth[:, None].contiguous(),
            "normals": normals,
            "edges": edges_from_labels(segmentation),
            "intrinsics": scene.camera.intrinsics.float(),
        }


def render(
    seeds: Int64[Tensor, "b"],
    size: tuple[int, int] = (128, 256),
    device: torch.device | str = "cpu",
    style: Style = EASY,
    offsets: Sequence[int] = (),
) -> dict[str, Tensor]:
    """Render one street per seed: the short way to `Renderer`, which is worth keeping when many batches are wanted."""
    return Renderer(style, size, device)(seeds, offsets)
