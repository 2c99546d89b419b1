"""Direct alignment: camera motion refined against the images themselves, by Gauss-Newton.

A pose network is fast but inexact; given a depth map, the motion that makes a neighbour fit the
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

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.geometry.alignment_scene import SMALLEST, Level, Scene, blurred
from crosstask.geometry.photometric import pose_matrix, warp
from crosstask.geometry.pinhole import unproject

Number = float | int
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
            # Fields of this class.
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
            level = Level(
                blurred(target.float()),
                [blurred(neighbour) for neighbour in neighbours.float().unbind(1)],
                depth.float(),
                intrinsics.float(),
            )
            pyramid = [level]
            while len(pyramid) < self.levels and min(level.target.shape[-2:]) >= 2 * SMALLEST:
                level = level.halved()
                pyramid.append(level)
            start = found = poses.float()
            for level in reversed(pyramid):
                scene = Scene.of(level, self.grid)
                for _ in range(self.iterations):
                    found = self._step(scene, found)
            better = self._fits_better(pyramid[0], found, start)
            return torch.where(better[..., None, None], found, start)

    def _step(self, scene: Scene, poses: Tensor) -> Tensor:
        """One Gauss-Newton step for the motions to all source frames together."""
        batch, count = poses.shape[:2]
        prior = 1.0 / float(self.depth_deviation) ** 2
        normal = poses.new_zeros(batch, 6 * count, 6 * count)
        right = poses.new_zeros(batch, 6 * count)
        certainty = torch.full_like(scene.points[:, 0], prior)
        pull, crossed = torch.zeros_like(certainty), []
        for k, source in enumerate(scene.sources):
            residual, visible, jacobian, along = scene.linearised(source, poses[:, k])
            spread = _noise(residual)[:, None]
            outlying = 1.0 + self._relative(residual, spread)  # Geman-McClure
            weight = visible / (outlying * spread).square()
            weighted = jacobian * weight[:, None, None]
            block = slice(6 * k, 6 * k + 6)
            flat = weighted.flatten(2)
            normal[:, block, block] = flat @ jacobian.flatten(2).mT
            right[:, block] = (flat @ residual.flatten(1)[..., None])[..., 0]
            crossed.append((weighted * along[:, None]).sum(dim=2))
            certainty = certainty + weight * along.square().sum(dim=1)
            pull = pull + weight * (along * residual).sum(dim=1)
        # a pixel's own unknown; what it leaves over (prior / certainty) goes to the nodes around it
        cross, left = torch.cat(crossed, dim=1), prior / certainty
        normal, right = _without(normal, right, cross, certainty[:, None], pull)
        nodes = scene.nodes
        stiffness = (nodes * ((certainty - prior) * left)[:, None]) @ nodes.mT
        stiffness = stiffness + prior * torch.eye(len(nodes), device=nodes.device)
        pulled = (pull * left) @ nodes.mT
        normal, right = _without(
            normal, right, (cross * left[:, None]) @ nodes.mT, stiffness, pulled
        )
        diagonal = float(self.damping) * normal.diagonal(dim1=1, dim2=2) + 1e-6
        motion = -torch.linalg.solve(normal + torch.diag_embed(diagonal), right)
        motion = motion.unflatten(1, (count, 6)).flatten(0, 1)
        return pose_matrix(motion[:, :3], motion[:, 3:]).view_as(poses) @ poses

    def _relative(self, residual: Tensor, spread: Tensor) -> Tensor:
        """Squared residual over the channels, relative to where outliers begin."""
        limit = float(self.outlier) * spread
        return residual.square().mean(dim=1) / limit.square()

    def _fits_better(self, level: Level, poses: Tensor, start: Tensor) -> Tensor:
        """(B,K) where `poses` have the smaller mean robust error, over pixels that both motions show.

        Residuals are judged by the noise that they have under `start`. A motion that loses sight of
        most of the target does not fit better.
        """
        found = []
        for k, source in enumerate(level.neighbours):
            views = [warp(source, level.depth, p[:, k], level.intrinsics) for p in (start, poses)]
            residuals = [(view.image - level.target).flatten(2) for view in views]
            spread = _noise(residuals[0])[:, None]
            relative = [self._relative(residual, spread) for residual in residuals]
            both = (views[0].visible & views[1].visible).flatten(1)
            before, after = ((r / (1.0 + r) * both).sum(dim=1) for r in relative)
            seen = [view.visible.flatten(1).sum(dim=1) for view in views]
            found.append((after < before) & (both.sum(dim=1) > 0.5 * seen[0]))
        return torch.stack(found, dim=1)


def _without(
    normal: Tensor, right: Tensor, cross: Tensor, own: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor]:
    """Normal equations after unknowns were eliminated (Schur complement).

    Args:
        normal, right: (B,M,M) and (B,M) of the unknowns that stay.
        cross: (B,M,U) between those that stay and those that go.
        own: of those that go, (B,U,U), or (B,1,U) where it is diagonal.
        pull: (B,U), the right side of those that go.
    """
    share = cross / own if own.shape[1] == 1 else torch.linalg.solve(own, cross.mT).mT
    return normal - share @ cross.mT, right - (share @ pull[..., None])[..., 0]


def pose_distance(
    first: Float[Tensor, "b k 4 4"],
    second: Float[Tensor, "b k 4 4"],
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 3 3"],
    largest: Number = 10.0,
) -> Float[Tensor, ""]:
    """How far apart two motions put the pixels of the target: mean distance in pixels.

    It weighs rotation against translation by what they do to the image. Distances above `largest`
    count as `largest`; differentiable in the poses. Computed in float32 whatever autocast says: close
    motions differ by less than half precision tells apart.
    """
    points = unproject(depth.float(), intrinsics.float()).flatten(2)[:, None]
    camera = intrinsics.float()[:, None]
    ends = []
    with torch.autocast(depth.device.type, enabled=False):
        for pose in (first, second):
            moved = pose[..., :3, :3].float() @ points + pose[..., :3, 3:].float()
            ahead = torch.maximum(moved[:, :, 2:], 0.05 * points[:, :, 2:])
            ends.append((camera[..., :2, :2] @ moved[:, :, :2]) / ahead)
    distance = ((ends[0] - ends[1]).square().sum(dim=2) + 1e-4).sqrt()
    return distance.clamp(max=float(largest)).mean()


def _noise(residual: Float[Tensor, "b c n"]) -> Float[Tensor, " b"]:
    """Standard deviation of residuals, from their median: outliers do not count."""
    return (1.4826 * residual.abs().flatten(1).median(dim=1).values).clamp_min(_LEAST_NOISE)
