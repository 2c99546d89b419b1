"""Street scenes from seeds: images with segmentation, depth, normals, edges and camera, a batch at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crosstask.data.streets.classes import Street
from crosstask.data.streets.dice import mix
from crosstask.data.streets.light import expose
from crosstask.data.streets.pixels import Pixels, shade_pixels
from crosstask.data.streets.scene import Scene, draw_scenes
from crosstask.data.streets.style import EASY, Style
from crosstask.data.streets.texture import Atlas
from crosstask.data.streets.tiles import TILE, Grid
from crosstask.geometry.pinhole import edges_from_labels

VERSION = "1"
"""Changes whenever a seed would give other pixels; part of every cache and of every run's record."""

_RAYS_ON_CPU, _RAYS_ON_GPU = 2**17, 2**23
_CENTERS = ((0.0, 0.0),)
_QUINCUNX = ((0.0, 0.0), (-0.5, -0.5))


def _image(
    pixels: Pixels, scene: Scene, grid: Grid, size: tuple[int, int], keys: Tensor, atlas: Atlas
) -> Float[Tensor, "b 3 h w"]:
    views = grid.image(pixels.radiance, size)
    color = views[0]
    if grid.views == 2:
        corner = torch.nn.functional.pad(views[1], (0, 1, 0, 1), mode="replicate")
        across = corner[..., :-1] + corner[..., 1:]
        color = 0.5 * color + 0.125 * (across[..., :-1, :] + across[..., 1:, :])
    color = color.transpose(0, 1).contiguous()
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
        self.style, self.size, self.far = style, (int(size[0]), int(size[1])), far
        self.device = torch.device(device)
        self._atlas = Atlas(self.device)
        self._grid = Grid.over(size, _QUINCUNX if antialias else _CENTERS, self.device)

    @torch.no_grad()
    def __call__(
        self,
        seeds: Int64[Tensor, "b"],
        offsets: Sequence[int] = (),
        *,
        time: int = 0,
        motion: bool = False,
    ) -> dict[str, Tensor]:
        """Render one scene per seed.

        Large batches are worked off in parts that suit the device; the result does not depend on the batch.

        Args:
            offsets: frames before (negative) and after, of which images and poses are wanted too.
            time: number of the frame that is the present; a scene's own is 0.
            motion: add ``moving`` (b, 1, h, w) bool, the pixels of vehicles and people that move by themselves.

        Returns:
            image, segmentation, depth, normals, edges, intrinsics as every dataset of the library has them, with a
            batch axis; with ``offsets`` also neighbours (b, k, 3, h, w) and poses (b, k, 4, 4).
        """
        rays = _RAYS_ON_CPU if self.device.type == "cpu" else _RAYS_ON_GPU
        parts = seeds.to(self.device).split(max(1, rays // (self.size[0] * self.size[1])))
        results = [self._render(part, offsets, time, motion) for part in parts]
        if len(results) == 1:
            return results[0]
        return {name: torch.cat([result[name] for result in results]) for name in results[0]}

    def _render(
        self, seeds: Tensor, offsets: Sequence[int], time: int, motion: bool
    ) -> dict[str, Tensor]:
        scene, pixels = self._frame(seeds, time)
        image = self._image(scene, pixels, seeds, time)
        result = {"image": image, **self._labels(scene, pixels)}
        if motion:
            result["moving"] = self._first(pixels.moving)[:, None] > 0.5
        if offsets:
            frames, poses = [], []
            for offset in offsets:
                other, its = self._frame(seeds, time + offset)
                frames.append(self._image(other, its, seeds, time + offset))
                poses.append(scene.camera.pose_to(other.camera))
            result["neighbours"] = torch.stack(frames, dim=1)
            result["poses"] = torch.stack(poses, dim=1)
        return result

    def _image(self, scene: Scene, pixels: Pixels, seeds: Tensor, time: int) -> Tensor:
        return _image(pixels, scene, self._grid, self.size, mix(seeds) + 7 * time, self._atlas)

    def _frame(self, seeds: Tensor, offset: int) -> tuple[Scene, Pixels]:
        time = torch.full(seeds.shape, float(offset), device=self.device)
        scene = draw_scenes(seeds, self.style, self.size, time)
        return scene, shade_pixels(scene, self._grid, self._atlas)

    def _first(self, values: Tensor) -> Tensor:
        return self._grid.image(values, self.size)[0]

    def _labels(self, scene: Scene, pixels: Pixels) -> dict[str, Tensor]:
        segmentation = self._first(pixels.label).to(torch.int64)
        inverse = self._first(pixels.inverse_depth)
        near = (inverse > 1 / self.far) & (segmentation != Street.SKY)
        depth = torch.where(near, 1 / inverse.clamp(min=1e-6), 0.0)
        world = self._first(pixels.normal)
        turn = scene.camera.rotation.float().permute(1, 2, 0)[..., None, None]
        normals = torch.stack(
            [
                world[0] * turn[0, i] + world[1] * turn[1, i] + world[2] * turn[2, i]
                for i in range(3)
            ],
            dim=1,
        )
        return {
            "segmentation": segmentation,
            "depth": depth[:, None],
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
