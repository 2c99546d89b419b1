"""Direct alignment: camera motion refined against the pictures themselves, by Gauss-Newton.

A pose network answers at once but roughly; given a depth map, the motion that makes a neighbour fit the
target can be solved for. Dense direct alignment (Lucas & Kanade 1981; Steinbruecker et al. 2011; robust:
Kerl et al. 2013) minimises, over the motion T (source <- target),

    sum_p rho( I_s(pi(K T D(p) K^-1 p)) - I_t(p) )

with increments ``T <- exp(xi) T``, on a pyramid from coarse to fine. Wang et al. (CVPR 2018) brought it
into learning depth from video. Here the depth is not trusted: an unknown factor exp(delta + g) on each
pixel's depth, shared by all source frames, is eliminated from the normal equations (Schur complement, as
in bundle adjustment). delta ~ N(0, deviation^2) belongs to the pixel alone, g is interpolated from a
coarse grid of such numbers, since a network errs in whole regions. A pixel then tells about the motion
across the direction in which its depth would move it, and little along it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from crosstask.geometry import scale_intrinsics, unproject
from crosstask.photometric import pose_matrix, warp

Number = float | int
_SMALLEST = 12  # pixels: the shorter side of the coarsest level
_LEAST_NOISE = 3e-3  # of colours in [0, 1]: below it, residuals are quantisation


@dataclass(frozen=True, kw_only=True)
class DirectAlignment:
    """Settings of the refinement, and the refinement itself.

    Args:
        levels: of the pyramid, each half as large as the one before.
        iterations: Gauss-Newton steps on each level.
        depth_deviation: standard deviation of the logarithm of depth, of a pixel and of a grid node.
        grid: nodes (rows, columns) of the errors that whole regions share.
        outlier: residuals above so many standard deviations count little (occlusions, moving things).
        damping: Levenberg's, relative to the diagonal.
    """

    levels: int = 3
    iterations: int = 3
    depth_deviation: Number = 0.3
    grid: tuple[int, int] = (4, 8)
    outlier: Number = 4.0
    damping: Number = 1e-4

    def __post_init__(self) -> None:
        if self.levels < 1 or self.iterations < 1:
            raise ValueError(
                f"`levels`, `iterations` are {self.levels}, {self.iterations}; expected at least 1"
            )
        if min(self.grid) < 1:
            raise ValueError(f"`grid` is {self.grid}; expected rows and columns, at least 1")
        for name in ("depth_deviation", "outlier", "damping"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` is {getattr(self, name)}; expected a positive number")

    @torch.no_grad()
    def refine(
        self,
        target: Float[Tensor, "b c h w"],
        neighbours: Float[Tensor, "b k c h w"],
        depth: Float[Tensor, "b 1 h w"],
        poses: Float[Tensor, "b k 4 4"],
        intrinsics: Float[Tensor, "b 3 3"],
    ) -> Float[Tensor, "b k 4 4"]:
        """`poses` (source <- target) after the refinement; without gradient, in float32.

        A motion that does not fit better than the one it started from is given back unchanged. The
        length of a translation follows from the scale of `depth`.
        """
        with torch.autocast(target.device.type, enabled=False):
            pyramid = [
                _Level(
                    _blurred(target.float()),
                    _blurred(neighbours.float().flatten(0, 1)).view_as(neighbours),
                    depth.float(),
                    intrinsics.float(),
                )
            ]
            while (
                len(pyramid) < self.levels and min(pyramid[-1].target.shape[-2:]) >= 2 * _SMALLEST
            ):
                pyramid.append(pyramid[-1].halved())
            found = poses.float()
            for level in reversed(pyramid):
                slopes = _slopes(level.target)
                sources = [torch.cat([s, *_slopes(s)], 1) for s in level.neighbours.unbind(1)]
                for _ in range(self.iterations):
                    found = self._step(level, slopes, sources, found)
            better = self._fits_better(pyramid[0], found, poses.float())
            return torch.where(better[..., None, None], found, poses.float())

    def _step(
        self, level: "_Level", slopes: tuple[Tensor, Tensor], sources: list[Tensor], poses: Tensor
    ) -> Tensor:
        """One Gauss-Newton step for the motions to all source frames together."""
        target, depth = level.target, level.depth
        batch, channels, count = len(target), target.shape[1], len(sources)
        fx, skew = level.intrinsics[:, 0, 0, None, None], level.intrinsics[:, 0, 1, None, None]
        fy = level.intrinsics[:, 1, 1, None, None]
        points = unproject(depth, level.intrinsics).flatten(2)
        normal = points.new_zeros(batch, 6 * count, 6 * count)
        right = points.new_zeros(batch, 6 * count)
        certainty = points.new_full(
            (batch, points.shape[-1]), 1.0 / float(self.depth_deviation) ** 2
        )
        pull, crossed = torch.zeros_like(certainty), []
        for k, source in enumerate(sources):
            seen = warp(source, depth, poses[:, k], level.intrinsics)
            image, across, down = seen.image.split(channels, dim=1)
            # mean of both pictures' slopes: second-order convergence (Malis 2004)
            across = (0.5 * (across + slopes[0])).flatten(2)
            down = (0.5 * (down + slopes[1])).flatten(2)
            residual = (image - target).flatten(2)
            turned = poses[:, k, :3, :3] @ points
            x, y, z = (turned + poses[:, k, :3, 3:]).split(1, dim=1)
            z = z.clamp_min(1e-2)
            gx = fx * across / z
            gy = (skew * across + fy * down) / z
            gz = -(gx * x + gy * y) / z
            # d residual / d xi, xi = (rotation, translation): p x g and g
            jacobian = torch.stack(
                [y * gz - z * gy, z * gx - x * gz, x * gy - y * gx, gx, gy, gz], dim=1
            )
            along = gx * turned[:, 0:1] + gy * turned[:, 1:2] + gz * turned[:, 2:3]
            spread = _noise(residual)[:, None]
            weight = self._weight(residual, spread) * seen.visible.flatten(1) / spread.square()
            weighted = jacobian * weight[:, None, None]
            block = slice(6 * k, 6 * k + 6)
            flat = weighted.flatten(2)
            normal[:, block, block] = flat @ jacobian.flatten(2).mT
            right[:, block] = (flat @ residual.flatten(1)[..., None])[..., 0]
            crossed.append((weighted * along[:, None]).sum(dim=2))
            certainty = certainty + weight * along.square().sum(dim=1)
            pull = pull + weight * (along * residual).sum(dim=1)
        cross = torch.cat(crossed, dim=1)
        share = cross / certainty[:, None]
        normal = normal - share @ cross.mT
        right = right - (share @ pull[..., None])[..., 0]
        # what a pixel's own unknown leaves over (prior / certainty) goes to the nodes around it
        nodes, prior = self._nodes(depth), 1.0 / float(self.depth_deviation) ** 2
        left = prior / certainty
        crossed_nodes = (cross * left[:, None]) @ nodes.mT
        stiffness = (nodes * ((certainty - prior) * left)[:, None]) @ nodes.mT
        stiffness = stiffness + prior * torch.eye(len(nodes), device=nodes.device)
        pulled = (pull * left) @ nodes.mT
        share = torch.linalg.solve(stiffness, crossed_nodes.mT).mT
        normal = normal - share @ crossed_nodes.mT
        right = right - (share @ pulled[..., None])[..., 0]
        diagonal = torch.diag_embed(normal.diagonal(dim1=1, dim2=2))
        normal = normal + float(self.damping) * diagonal
        normal = normal + 1e-6 * torch.eye(6 * count, device=normal.device)
        motion = -torch.linalg.solve(normal, right).unflatten(1, (count, 6))
        moves = pose_matrix(motion[..., :3].flatten(0, 1), motion[..., 3:].flatten(0, 1))
        return moves.view_as(poses) @ poses

    def _nodes(self, like: Tensor) -> Tensor:
        """(G,N) bilinear weight of every grid node in every pixel."""
        rows, columns = self.grid
        one = torch.eye(rows * columns, device=like.device).view(-1, 1, rows, columns)
        return F.interpolate(
            one, size=like.shape[-2:], mode="bilinear", align_corners=False
        ).flatten(1)

    def _weight(self, residual: Tensor, spread: Tensor) -> Tensor:
        """Geman-McClure weights (B,N) of residuals (B,C,N)."""
        return 1.0 / (1.0 + self._relative(residual, spread)).square()

    def _relative(self, residual: Tensor, spread: Tensor) -> Tensor:
        """Squared residual over the channels, relative to where outliers begin."""
        limit = float(self.outlier) * spread
        return residual.square().mean(dim=1) / limit.square()

    def _fits_better(self, level: "_Level", poses: Tensor, start: Tensor) -> Tensor:
        """(B,K) where `poses` have the smaller mean robust error, over pixels that both motions show.

        Residuals are judged by the noise that they have under `start`. A motion that loses sight of
        most of the target does not fit better.
        """
        found = []
        for k, source in enumerate(level.neighbours.unbind(1)):
            views = [warp(source, level.depth, p[:, k], level.intrinsics) for p in (start, poses)]
            residuals = [(view.image - level.target).flatten(2) for view in views]
            spread = _noise(residuals[0])[:, None]
            relative = [self._relative(residual, spread) for residual in residuals]
            both = (views[0].visible & views[1].visible).flatten(1)
            before, after = ((r / (1.0 + r) * both).sum(dim=1) for r in relative)
            seen = [view.visible.flatten(1).sum(dim=1) for view in views]
            found.append((after < before) & (both.sum(dim=1) > 0.5 * seen[0]))
        return torch.stack(found, dim=1)


class _Level(NamedTuple):
    """One size of a target, its neighbours (B,K,C,H,W), its depth and its camera."""

    target: Tensor
    neighbours: Tensor
    depth: Tensor
    intrinsics: Tensor

    def halved(self) -> "_Level":
        """Half the size, colours averaged, depth harmonically: inverse depth is linear on planes."""
        neighbours = F.avg_pool2d(self.neighbours.flatten(0, 1), 2)
        return _Level(
            F.avg_pool2d(self.target, 2),
            neighbours.unflatten(0, self.neighbours.shape[:2]),
            1.0 / F.avg_pool2d(1.0 / self.depth, 2),
            scale_intrinsics(self.intrinsics, 0.5, 0.5),
        )


def level_ground(
    intrinsics: Float[Tensor, "b 3 3"], size: tuple[int, int], farthest: Number = 30.0
) -> Float[Tensor, "b 1 h w"]:
    """Depth of an endless level ground under a camera that looks ahead, in heights of the camera.

    From `farthest` heights on, and above the horizon, it is `farthest`. Wrong wherever something stands,
    and yet enough to begin with: what stands near the ground moves as the ground beside it, and what is far
    moves with the rotation alone.
    """
    flat = torch.ones(len(intrinsics), 1, *size, device=intrinsics.device)
    down = unproject(flat, intrinsics.float())[:, 1:2]
    return 1.0 / down.clamp_min(1.0 / float(farthest))


def pose_distance(
    first: Float[Tensor, "b k 4 4"],
    second: Float[Tensor, "b k 4 4"],
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 3 3"],
    largest: Number = 10.0,
) -> Float[Tensor, ""]:
    """How far apart two motions put the pixels of the target: mean distance in pixels.

    It weighs rotation against translation by what they do to the picture. Distances above `largest`
    count as `largest`; differentiable in the poses.
    """
    points = unproject(depth.float(), intrinsics.float()).flatten(2)[:, None]
    camera = intrinsics.float()[:, None]
    ends = []
    for pose in (first, second):
        moved = pose[..., :3, :3].float() @ points + pose[..., :3, 3:].float()
        ahead = torch.maximum(moved[:, :, 2:], 0.05 * points[:, :, 2:])
        ends.append((camera[..., :2, :2] @ moved[:, :, :2]) / ahead)
    distance = ((ends[0] - ends[1]).square().sum(dim=2) + 1e-4).sqrt()
    return distance.clamp(max=float(largest)).mean()


def _noise(residual: Float[Tensor, "b c n"]) -> Float[Tensor, " b"]:
    """Standard deviation of residuals, from their median: outliers do not count."""
    return (1.4826 * residual.abs().flatten(1).median(dim=1).values).clamp_min(_LEAST_NOISE)


def _blurred(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Binomial 3x3 blur with a repeated border: slopes of what is left are those of the picture."""
    x = F.pad(image, (1, 1, 0, 0), mode="replicate")
    x = 0.25 * (x[..., :-2] + x[..., 2:]) + 0.5 * x[..., 1:-1]
    x = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return 0.25 * (x[..., :-2, :] + x[..., 2:, :]) + 0.5 * x[..., 1:-1, :]


def _slopes(
    image: Float[Tensor, "b c h w"],
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Central differences along x and y, a repeated border."""
    x = F.pad(image, (1, 1, 0, 0), mode="replicate")
    y = F.pad(image, (0, 0, 1, 1), mode="replicate")
    return 0.5 * (x[..., 2:] - x[..., :-2]), 0.5 * (y[..., 2:, :] - y[..., :-2, :])
