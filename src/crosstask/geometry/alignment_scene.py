"""What direct alignment compares: images, slopes and points of one size, and the residuals' derivatives."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from kornia.filters import filter2d_separable, spatial_gradient
from torch import Tensor

from crosstask.geometry.photometric import warp
from crosstask.geometry.pinhole import scale_intrinsics, unproject

_BINOMIAL = torch.tensor([[0.25, 0.5, 0.25]])
SMALLEST = 12  # pixels: the shorter side of the coarsest level


class Level(NamedTuple):
    """One size of a target, its neighbours, its depth and its camera."""

    target: Tensor
    neighbours: list[Tensor]
    depth: Tensor
    intrinsics: Tensor

    def halved(self) -> "Level":
        """Half the size, colours averaged, depth harmonically: inverse depth is linear on planes."""
        return Level(
            F.avg_pool2d(self.target, 2),
            [F.avg_pool2d(neighbour, 2) for neighbour in self.neighbours],
            1.0 / F.avg_pool2d(1.0 / self.depth, 2),
            scale_intrinsics(self.intrinsics, 0.5, 0.5),
        )


class Scene(NamedTuple):
    """What does not change while motions are solved for on a level.

    Attributes:
        sources: each neighbour (B,3C,H,W) with its slopes along x and y.
        slopes: the target's.
        points: (B,3,N) of the target, metres.
        nodes: (G,N) bilinear weight of every grid node in every pixel.
    """

    level: Level
    sources: list[Tensor]
    slopes: tuple[Tensor, Tensor]
    points: Tensor
    nodes: Tensor

    @classmethod
    def of(cls, level: Level, grid: tuple[int, int]) -> "Scene":
        one = torch.eye(grid[0] * grid[1], device=level.depth.device).view(-1, 1, *grid)
        nodes = F.interpolate(one, size=level.depth.shape[-2:], mode="bilinear")
        return cls(
            level,
            [torch.cat([source, *_slopes(source)], dim=1) for source in level.neighbours],
            _slopes(level.target),
            unproject(level.depth, level.intrinsics).flatten(2),
            nodes.flatten(1),
        )

    def linearised(self, source: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Residuals (B,C,N), visibility (B,N), and derivatives of the residuals.

        By the motion's increment, rotation first (B,6,C,N): ``p x g`` and ``g``, where g is the
        residual's derivative by the moved point p; and by the logarithm of depth (B,C,N): ``g . R D p``.
        """
        target, _, depth, camera = self.level
        seen = warp(source, depth, pose, camera)
        image, across, down = seen.image.split(target.shape[1], dim=1)
        # mean of both images' slopes: second-order convergence (Malis 2004)
        across = (0.5 * (across + self.slopes[0])).flatten(2)
        down = (0.5 * (down + self.slopes[1])).flatten(2)
        turned = pose[:, :3, :3] @ self.points
        x, y, z = (turned + pose[:, :3, 3:]).split(1, dim=1)
        z = z.clamp_min(1e-2)
        fx, skew, fy = (camera[:, i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
        gx = fx * across / z
        gy = (skew * across + fy * down) / z
        gz = -(gx * x + gy * y) / z
        jacobian = torch.stack(
            [y * gz - z * gy, z * gx - x * gz, x * gy - y * gx, gx, gy, gz], dim=1
        )
        along = gx * turned[:, 0:1] + gy * turned[:, 1:2] + gz * turned[:, 2:3]
        return (image - target).flatten(2), seen.visible.flatten(1), jacobian, along


def blurred(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Binomial 3x3 blur: slopes of what is left are those of the image, not of its noise."""
    return filter2d_separable(image, _BINOMIAL, _BINOMIAL, border_type="replicate")


def _slopes(
    image: Float[Tensor, "b c h w"],
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Central differences along x and y."""
    across, down = spatial_gradient(image, mode="diff").unbind(dim=2)
    return across, down
