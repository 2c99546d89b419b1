"""All pixels of a batch: rays are cast, what they meet is shaded kind by kind, then lit."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets.classes import Street
from crosstask.data.streets.ground import shade_ground
from crosstask.data.streets.light import ground_shadows, illuminate
from crosstask.data.streets.raycast import GROUND, SKY, Hits, trace
from crosstask.data.streets.scene import Scene
from crosstask.data.streets.surfaces import Sight, Surface, shade_hulls, shade_rounds, shade_sky
from crosstask.data.streets.texture import Atlas
from crosstask.data.streets.tiles import TILE, Grid


@dataclass(frozen=True)
class Pixels:
    """All pixels of all views, per scene, in the order of the tiles."""

    radiance: Float[Tensor, "3 b p"]
    normal: Float[Tensor, "3 b p"]
    label: Float[Tensor, "b p"]
    moving: Float[Tensor, "b p"]
    inverse_depth: Float[Tensor, "b p"]


def _look(scene: Scene, grid: Grid, inverse: Float[Tensor, "b p"]) -> tuple[Sight, Tensor]:
    """Rays, points and footprints of all pixels (flattened over scenes), and their depth (b, p)."""
    steps = torch.arange(TILE, device=inverse.device, dtype=torch.float32)
    origin_u, origin_v = grid.origins.float().T[..., None, None]
    u = (origin_u + steps).expand(-1, TILE, -1).reshape(-1)
    v = (origin_v + steps[:, None]).expand(-1, -1, TILE).reshape(-1)
    turn = scene.camera.directions().float().permute(1, 2, 0)[..., None]
    ray = torch.stack([u * row[0] + v * row[1] + row[2] for row in turn])
    depth = 1 / inverse.clamp(min=1e-3)
    point = torch.addcmul(scene.camera.position.float().T[..., None], ray, depth)
    length = (ray[0] * ray[0]).addcmul_(ray[1], ray[1]).addcmul_(ray[2], ray[2]).sqrt_()
    ray = ray.div_(length)
    footprint = depth / scene.camera.intrinsics[:, 0, 0].float()[:, None]
    pixel = torch.stack((u, v))[:, None].expand(-1, len(inverse), -1)
    return Sight(pixel.flatten(1), point.flatten(1), ray.flatten(1), footprint.flatten()), depth


class _Canvas:
    """Albedo, normal, class and motion of every pixel, filled one kind of surface at a time."""

    def __init__(self, like: Float[Tensor, "b p"]) -> None:
        total = like.numel()
        self.albedo, self.normal = like.new_zeros(3, total), like.new_zeros(3, total)
        self.label = like.new_full((total,), float(Street.SKY))
        self.moving = like.new_zeros(total)

    def write(self, where: Int64[Tensor, "k"], surface: Surface) -> None:
        self.albedo.index_copy_(1, where, surface.albedo)
        self.normal.index_copy_(1, where, surface.normal)
        self.label.index_copy_(0, where, surface.label)
        self.moving.index_copy_(0, where, surface.moving)


def shade_pixels(scene: Scene, grid: Grid, atlas: Atlas) -> Pixels:
    """Cast a ray through every pixel of every view, and find colour and labels of what it meets."""
    hits, planes, normals = trace(scene, grid)
    count = len(scene.light.haze)
    inverse = hits.inverse_depth.reshape(count, -1)
    sight, depth = _look(scene, grid, inverse)
    who = hits.primitive.reshape(-1)
    scenes = torch.arange(count, device=who.device)[:, None].expand(inverse.shape).reshape(-1)
    hulls, rounds = scene.hulls.present.shape[1], scene.rounds.present.shape[1]
    canvas = _Canvas(inverse)
    where = ((who >= 0) & (who < hulls)).nonzero()[:, 0]
    which = scenes.index_select(0, where) * hulls + who.index_select(0, where)
    seen = sight.take(where)
    canvas.write(where, shade_hulls(scene.hulls, planes, normals, which, seen, atlas))
    where = (who >= hulls).nonzero()[:, 0]
    which = scenes.index_select(0, where) * rounds + (who.index_select(0, where) - hulls)
    canvas.write(where, shade_rounds(scene.rounds, which, sight.take(where), atlas))
    where = (who == GROUND).nonzero()[:, 0]
    of = scenes.index_select(0, where)
    canvas.write(where, shade_ground(scene.road, of, sight.take(where), atlas))

    shape = (3, *inverse.shape)
    normal = canvas.normal.reshape(shape)
    sun, sky = _shadows(scene, grid, hits, sight)
    lit = illuminate(scene.light, canvas.albedo.reshape(shape), normal, sun, sky, depth)
    where = (who == SKY).nonzero()[:, 0]
    above = _sky(scene, scenes.index_select(0, where), sight.ray.index_select(1, where), atlas)
    radiance = lit.reshape(3, -1).index_copy_(1, where, above).reshape(shape)
    label, moving = canvas.label.reshape(inverse.shape), canvas.moving.reshape(inverse.shape)
    return Pixels(radiance, normal, label, moving, inverse)


def _shadows(
    scene: Scene, grid: Grid, hits: Hits, sight: Sight
) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"]]:
    """Share of the sun and of the sky that reaches each pixel; shadows fall on the ground only."""
    tiles = hits.primitive.shape
    shares = ground_shadows(
        scene, grid, sight.point[0].reshape(tiles), sight.point[2].reshape(tiles)
    )
    count, ground = len(scene.light.haze), hits.primitive == GROUND
    sun, sky = (torch.where(ground, share, 1.0).reshape(count, -1) for share in shares)
    return sun, sky


def _sky(
    scene: Scene, scenes: Int64[Tensor, "k"], ray: Float[Tensor, "3 k"], atlas: Atlas
) -> Tensor:
    light = scene.light
    angle = 1 / scene.camera.intrinsics[:, :1, 0].float()
    table = torch.cat((light.air, light.zenith, light.clouds[:, None], light.shift, angle), dim=1)
    rows = table.T.contiguous().index_select(1, scenes)
    return shade_sky(ray, rows[:3], rows[3:6], rows[6], rows[7:9], rows[9], atlas)
