"""Rays against convex solids, in inverse depth, tile by tile.

A ray is o + t d with d of depth 1 along the optical axis, so that t is the depth. For a plane n.p = k the inverse depth
1/t = n.d / (k - n.o) is linear in the pixel: it is one multiply-add. A convex solid is met at the smallest inverse depth over
the planes that face the camera, unless one of the others lies nearer. For an ellipsoid or a cylinder,
1/t = L(u,v) +- sqrt(Q(u,v)) with L linear and Q quadratic. Coefficients are computed in double precision and
moved to each tile's origin before they become single; so nothing cancels inside a tile.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int32
from torch import Tensor

from crosstask.data.streets.primitives import Hulls, Rounds
from crosstask.data.streets.scene import Scene
from crosstask.data.streets.tiles import TILE, Candidates, Grid, find_candidates, screen_bounds

GROUND, SKY = -1, -2
FRONTS = 4
_BACKS = 7
_NEVER = 1e6


@dataclass(frozen=True)
class Hits:
    """What each pixel's ray meets first, for the tiles of every scene (tiles are flattened over scenes).

    Attributes:
        inverse_depth: 1/metres along the optical axis; 0 in the sky.
        primitive: index of the hull; number of hulls + index of the round; `GROUND`; `SKY`.
    """

    inverse_depth: Float[Tensor, "tiles s s"]
    primitive: Int32[Tensor, "tiles s s"]


def plane_coefficients(
    normals: Float64[Tensor, "b n p 3"],
    offsets: Float64[Tensor, "b n p"],
    position: Float64[Tensor, "b 3"],
    directions: Float64[Tensor, "b 3 3"],
) -> tuple[Float64[Tensor, "b n p 3"], Float64[Tensor, "b n p"]]:
    """Coefficients of the inverse depth in (u, v, 1) for planes n.p = offset, and the gap offset - n.o (negative: it faces us)."""
    gap = offsets - (normals * position[:, None, None]).sum(-1)
    gap = torch.where(gap.abs() < 1e-9, 1e-9, gap)
    return normals @ directions[:, None] / gap[..., None], gap


def hull_coefficients(
    hulls: Hulls, scene: Scene
) -> tuple[Float64[Tensor, "b n 11 3"], Float[Tensor, "b n 4 3"]]:
    """Inverse-depth coefficients of each hull's facing planes (4, padded) and of the others (7), and the former's normals."""
    camera = scene.camera
    normals = hulls.normals.double()
    planes, gap = plane_coefficients(
        normals, hulls.offsets.double(), camera.position, camera.directions()
    )
    order = gap.sign().argsort(dim=-1, stable=True)[..., None].expand(planes.shape)
    planes, normals = planes.gather(2, order), normals.gather(2, order)
    facing = (gap < 0).sum(-1)[..., None]
    rank = torch.arange(8, device=planes.device)
    pad = planes.new_tensor((0.0, 0.0, _NEVER))
    front = torch.where((rank[:FRONTS] < facing)[..., None], planes[:, :, :FRONTS], pad)
    back = torch.where((rank[1:] >= facing)[..., None], planes[:, :, 1:], -pad)
    return torch.cat((front, back), dim=2), normals[:, :, :FRONTS].float()


def round_coefficients(rounds: Rounds, scene: Scene) -> Float64[Tensor, "b n 20"]:
    """Of each round: L (3), Q (6: uu, vv, 1, uv, u, v), sign of the far root, bias of the near one, and 3 end planes (9)."""
    camera = scene.camera
    local = rounds.matrix.double() @ camera.directions()[:, None]
    origin = (
        rounds.matrix.double() @ (camera.position[:, None] - rounds.center.double())[..., None]
    )[..., 0]
    ball = rounds.roundness.double()
    weight = torch.stack((torch.ones_like(ball), ball, torch.ones_like(ball)), dim=-1)
    gap = (weight * origin**2).sum(-1) - 1
    gap = torch.where(gap.abs() < 1e-9, 1e-9, gap)[..., None]
    linear = (local * (weight * origin)[..., None]).sum(-2)
    gram = local.transpose(-1, -2) @ (local * weight[..., None])
    square = (linear[..., :, None] * linear[..., None, :] - gap[..., None] * gram) / gap[
        ..., None
    ] ** 2
    outside = gap > 0
    up, y = local[..., 1, :], origin[..., 1:2]
    low, high = (
        torch.where((1 - y).abs() < 1e-9, 1e-9, 1 - y),
        torch.where((1 + y).abs() < 1e-9, 1e-9, 1 + y),
    )
    ends = torch.stack((up / low, -up / high), dim=-2)
    faces = torch.stack((low < 0, high < 0), dim=-2) & (ball < 0.5)[..., None, None]
    never = torch.zeros_like(ends)
    never[..., 2] = _NEVER
    front = torch.where(faces, ends, never).flatten(-2)
    front = torch.where(faces[..., :1, 0], front[..., :3], front[..., 3:])
    back = torch.where(faces | (ball > 0.5)[..., None, None], -never, ends).flatten(-2)
    terms = [
        square[..., i, j] * (1 if i == j else 2)
        for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    ]
    flags = torch.cat((torch.where(outside, -1.0, 1.0), torch.where(outside, 0.0, _NEVER)), dim=-1)
    return torch.cat((-linear / gap, torch.stack(terms, dim=-1), flags, front, back), dim=-1)


def _at_origin(planes: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients (pairs, p, 3) relative to tile origins (pairs, 2): slopes along u and v and the value there, in float32."""
    value = (
        planes[..., 0] * origin[:, None, 0] + planes[..., 1] * origin[:, None, 1] + planes[..., 2]
    )
    return planes[..., 0].float(), planes[..., 1].float(), value.float()


class _Planes:
    """Linear functions on tiles: `at(p)` evaluates the p-th one of each pair on its tile's pixels."""

    def __init__(self, planes: Tensor, origin: Tensor, steps: Tensor) -> None:
        slope_u, slope_v, value = _at_origin(planes, origin)
        self._along = slope_u[..., None] * steps
        self._down = slope_v[..., None] * steps + value[..., None]

    def at(self, pairs: slice, plane: int) -> Float[Tensor, "n s s"]:
        return self._down[pairs, plane, :, None] + self._along[pairs, plane, None, :]


def _trace_hulls(
    candidates: Candidates, coefficients: Tensor, grid: Grid, best: Tensor, winner: Tensor
) -> None:
    """Update the nearest inverse depth and its primitive, both in the order of ``candidates``, in place."""
    steps = torch.arange(TILE, device=best.device, dtype=torch.float32)
    planes = _Planes(
        coefficients.flatten(0, 1).index_select(0, candidates.primitive),
        grid.origins.index_select(0, candidates.tile),
        steps,
    )
    number = (candidates.primitive % coefficients.shape[1]).to(torch.int32)[:, None, None]
    start = 0
    for count in candidates.counts:
        pairs = slice(start, start + count)
        near = planes.at(pairs, 0)
        for plane in range(1, FRONTS):
            torch.minimum(near, planes.at(pairs, plane), out=near)
        far = torch.maximum(planes.at(pairs, FRONTS), best[:count])
        for plane in range(FRONTS + 1, FRONTS + _BACKS):
            torch.maximum(far, planes.at(pairs, plane), out=far)
        hit = near > far
        best[:count] = torch.where(hit, near, best[:count])
        winner[:count] = torch.where(hit, number[pairs], winner[:count])
        start += count


def _trace_rounds(
    candidates: Candidates,
    coefficients: Tensor,
    grid: Grid,
    first: int,
    best: Tensor,
    winner: Tensor,
) -> None:
    steps = torch.arange(TILE, device=best.device, dtype=torch.float32)
    chosen, origin = (
        coefficients.flatten(0, 1).index_select(0, candidates.primitive),
        grid.origins.index_select(0, candidates.tile),
    )
    ends = torch.cat((chosen[:, None, :3], chosen[:, 11:].unflatten(-1, (3, 3))), dim=1)
    planes = _Planes(ends, origin, steps)
    uu, vv, one, uv, u_, v_ = chosen[:, 3:9].unbind(-1)
    u, v = origin.unbind(-1)
    value = uu * u**2 + vv * v**2 + one + uv * u * v + u_ * u + v_ * v
    slope_u, slope_v = 2 * uu * u + uv * v + u_, 2 * vv * v + uv * u + v_
    along = (uu[:, None] * steps**2 + slope_u[:, None] * steps).float()
    down = (vv[:, None] * steps**2 + slope_v[:, None] * steps + value[:, None]).float()
    across = (uv[:, None] * steps).float()
    flags = chosen[:, 9:11].float()[..., None, None]
    number = (candidates.primitive % coefficients.shape[1] + first).to(torch.int32)[:, None, None]
    start = 0
    for count in candidates.counts:
        pairs = slice(start, start + count)
        square = (down[pairs, :, None] + along[pairs, None]).addcmul_(across[pairs, :, None], steps)
        root = square.clamp(min=0).sqrt_()
        middle = planes.at(pairs, 0)
        near = torch.minimum(middle + root + flags[pairs, 1], planes.at(pairs, 1))
        far = torch.maximum(middle.addcmul_(root, flags[pairs, 0]), best[:count])
        torch.maximum(far, planes.at(pairs, 2), out=far)
        torch.maximum(far, planes.at(pairs, 3), out=far)
        hit = (near > far) & (square > 0)
        best[:count] = torch.where(hit, near, best[:count])
        winner[:count] = torch.where(hit, number[pairs], winner[:count])
        start += count


def _ground(scene: Scene, grid: Grid) -> Tensor:
    down = scene.camera.directions()[:, 1] / -scene.camera.position[:, 1:2]
    steps = torch.arange(TILE, device=down.device, dtype=torch.float32)
    slope_u, slope_v, value = _at_origin(
        down[:, None].expand(-1, len(grid.origins), -1).flatten(0, 1)[:, None],
        grid.origins.repeat(len(down), 1),
    )
    return (slope_v[..., None] * steps + value[..., None])[:, 0, :, None] + (
        slope_u[..., None] * steps
    )[:, 0, None]


def trace(
    scene: Scene, grid: Grid
) -> tuple[Hits, Float[Tensor, "b n 4 3"], Float[Tensor, "b n 4 3"]]:
    """Cast the rays of every pixel of every tile.

    Returns:
        The hits, and for each hull the inverse-depth coefficients and the normals of the planes that face the camera.
    """
    best = _ground(scene, grid).clamp_(min=0)
    winner = torch.where(best > 0, GROUND, SKY).to(torch.int32)
    planes, normals = hull_coefficients(scene.hulls, scene)
    rounds = round_coefficients(scene.rounds, scene)
    count = scene.hulls.present.shape[1]
    outside = (rounds[..., 10] == 0) | (scene.rounds.roundness < 0.5)
    kinds = ((scene.hulls, planes[:, :, 0, 2] < _NEVER), (scene.rounds, outside))
    for kind, visible in kinds:
        bounds = screen_bounds(kind.corners, scene.camera)
        candidates = find_candidates(bounds, kind.present & visible, grid)
        ordered = best.index_select(0, candidates.order)
        who = winner.index_select(0, candidates.order)
        if isinstance(kind, Hulls):
            _trace_hulls(candidates, planes, grid, ordered, who)
        else:
            _trace_rounds(candidates, rounds, grid, count, ordered, who)
        best, winner = candidates.restore(ordered), candidates.restore(who)
    return Hits(best, winner), planes[:, :, :FRONTS].float(), normals
