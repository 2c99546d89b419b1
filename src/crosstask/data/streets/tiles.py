"""Which primitives may be seen in which tile of the image: bounds on the screen and lists of candidates."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int32, Int64
from torch import Tensor

from crosstask.data.streets.camera import Camera

TILE = 16
_NEAREST = 0.05
_EDGES = (
    (0, 1),
    (2, 3),
    (4, 5),
    (6, 7),
    (0, 2),
    (1, 3),
    (4, 6),
    (5, 7),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
)


@dataclass(frozen=True)
class Grid:
    """The tiles of ``views`` images of every scene; the views differ by an offset of the pixels.

    Attributes:
        origins: (t, 2) u and v of the first pixel of each tile, all views of an image one after the other.
        rows, columns: tiles along each side. views: number of views.
    """

    origins: Float64[Tensor, "t 2"]
    rows: int
    columns: int
    views: int

    @classmethod
    def over(
        cls,
        size: tuple[int, int],
        offsets: tuple[tuple[float, float], ...],
        device: torch.device | str,
    ) -> "Grid":
        """Cover an image of ``size`` (height, width), once for each offset (u, v) of the pixels."""
        rows, columns = -(-size[0] // TILE), -(-size[1] // TILE)
        v, u = torch.meshgrid(
            torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
        )
        first = torch.stack((u, v), dim=-1).reshape(-1, 2).double() * TILE
        origins = torch.cat([first + first.new_tensor(offset) for offset in offsets])
        return cls(origins, rows, columns, len(offsets))

    def image(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        """(..., b, p) values in the order of the tiles -> (views, ..., b, height, width) images, cropped to ``size``."""
        front = values.shape[:-1]
        grid = values.reshape(-1, self.views, self.rows, self.columns, TILE, TILE)
        grid = grid.permute(1, 0, 2, 4, 3, 5)
        height, width = self.rows * TILE, self.columns * TILE
        return grid.reshape(self.views, *front, height, width)[..., : size[0], : size[1]]


@dataclass(frozen=True)
class Candidates:
    """Pairs (tile, primitive), arranged so that step k handles the first ``counts[k]`` of the tiles in ``order``.

    Attributes:
        order: indices of all tiles of the batch, those with most candidates first.
        primitive: for each pair, the index of the primitive among all of the batch.
        tile: for each pair, the index of the tile among the tiles of one scene.
        counts: number of pairs in each step.
    """

    order: Int64[Tensor, "tiles"]
    primitive: Int64[Tensor, "pairs"]
    tile: Int64[Tensor, "pairs"]
    counts: list[int]

    def restore(self, values: Float[Tensor, "tiles s s"] | Int32[Tensor, "tiles s s"]) -> Tensor:
        """Values per tile from the order of `order` back to that of the tiles."""
        return torch.empty_like(values).index_copy_(0, self.order, values)


def screen_bounds(corners: Float[Tensor, "b n 8 3"], camera: Camera) -> Float[Tensor, "b n 4"]:
    """Smallest u, smallest v, largest u and largest v of boxes given by their corners.

    Edges that pass behind the camera are cut at the near plane. A box wholly behind it gets bounds off every image.
    """
    turn = camera.rotation.float()[:, None, None]
    offset = corners - camera.position.float()[:, None, None]
    local = (offset[..., None] * turn).sum(-2)
    first, second = torch.tensor(_EDGES, device=corners.device).T
    start, end = local.index_select(2, first), local.index_select(2, second)
    step = end - start
    share = ((_NEAREST - start[..., 2:]) / step[..., 2:]).nan_to_num(0.0).clamp_(0.0, 1.0)
    points = torch.cat((local, start + share * step), dim=2)
    visible = points[..., 2:] >= 0.99 * _NEAREST
    scale = camera.intrinsics[:, 0, 0].float()[:, None, None, None]
    center = camera.intrinsics[:, None, None, :2, 2].float()
    pixels = points[..., :2] / points[..., 2:].clamp(min=_NEAREST) * scale + center
    low = torch.where(visible, pixels, 1e9).amin(2)
    high = torch.where(visible, pixels, -1e9).amax(2)
    return torch.cat((low, high), dim=-1)


def find_candidates(
    bounds: Float[Tensor, "b n 4"], present: Bool[Tensor, "b n"], grid: Grid
) -> Candidates:
    """List for every tile the primitives whose bounds touch it, in the primitives' order."""
    low_u, low_v, high_u, high_v = bounds.unsqueeze(1).unbind(-1)
    first_u, first_v = grid.origins.float()[:, :, None].unbind(1)
    touch = (low_u <= first_u + TILE) & (high_u >= first_u - 1.0) & present[:, None]
    touch = touch & (low_v <= first_v + TILE) & (high_v >= first_v - 1.0)
    count = touch.sum(-1).flatten()
    scene, tile, primitive = touch.nonzero(as_tuple=True)
    order = count.argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    flat = scene * touch.shape[1] + tile
    rank = torch.arange(len(flat), device=flat.device) - (count.cumsum(0) - count)[flat]
    steps = torch.bincount(rank) if len(rank) else rank
    target = (steps.cumsum(0) - steps)[rank] + place[flat]
    pairs, tiles = torch.empty_like(flat), torch.empty_like(flat)
    pairs[target] = scene * touch.shape[2] + primitive
    tiles[target] = tile
    return Candidates(order, pairs, tiles, steps.tolist())
