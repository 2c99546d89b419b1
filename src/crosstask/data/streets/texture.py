"""Band-limited patterns: noise from a pyramid of images, and stripes smoothed over a pixel's footprint."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_SIZE = 256
_LEVELS = 9
_WHITE = (509, 503)


def _octaves(generator: torch.Generator, weights: dict[int, float]) -> Float[Tensor, "s s"]:
    """Periodic value noise: a random lattice for each cell count, smoothly enlarged, summed by weight."""
    total = torch.zeros(_SIZE, _SIZE)
    for cells, weight in weights.items():
        lattice = torch.rand(cells, cells, generator=generator) * 2 - 1
        position = (torch.arange(_SIZE) + 0.5) * cells / _SIZE
        cell, part = position.long(), position - position.floor()
        part = part * part * (3 - 2 * part)
        after = (cell + 1) % cells
        rows = torch.lerp(lattice[cell], lattice[after], part[:, None])
        total += weight * torch.lerp(rows[:, cell], rows[:, after], part)
    return (total - total.mean()) / total.std()


class Atlas:
    """A square of four texture channels (grain, clumps, stains, brick), with all coarser versions of itself.

    The images are always the same; they are periodic, so that any surface can be covered.
    """

    def __init__(self, device: torch.device | str) -> None:
        generator = torch.Generator().manual_seed(20)
        grain = _octaves(generator, {256: 1.0, 128: 0.8, 64: 0.5, 32: 0.3})
        clumps = _octaves(generator, {64: 0.5, 32: 1.0, 16: 1.0, 8: 0.5})
        stains = _octaves(generator, {32: 0.2, 16: 0.4, 8: 0.7, 4: 1.0})
        row, column = torch.meshgrid(torch.arange(_SIZE), torch.arange(_SIZE), indexing="ij")
        course = row // 8
        joint = (row % 8 < 2) | ((column + 8 * (course % 2)) % 16 < 2)
        shade = (
            torch.rand(_SIZE // 8, _SIZE // 16, generator=generator)[
                course, ((column + 8 * (course % 2)) // 16) % (_SIZE // 16)
            ]
            - 0.5
        )
        brick = torch.where(joint, 1.4, 1.6 * shade)
        level = torch.stack((grain, clumps, stains, brick - brick.mean()), dim=-1)
        levels = [level]
        for _ in range(_LEVELS - 1):
            level = level.unflatten(0, (-1, 2)).mean(1).unflatten(1, (-1, 2)).mean(2)
            levels.append(level)
        self._texels = torch.cat([item.reshape(-1, 4) for item in levels]).to(device)
        self._first = self._texels[: _SIZE**2, 0].contiguous()
        counts = torch.tensor([0] + [item.shape[0] ** 2 for item in levels[:-1]])
        self._starts = counts.cumsum(0).to(device, torch.int32)
        self._white = torch.randn(_WHITE[0] * _WHITE[1], generator=generator).to(device)

    def sample(
        self, u: Float[Tensor, "n"], v: Float[Tensor, "n"], footprint: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 4"]:
        """Four channels of zero mean and about unit spread at (u, v), all in periods of the texture.

        Args:
            footprint: how much of a period a pixel covers; finer detail is left out.
        """
        level = torch.log2((footprint * _SIZE).clamp_(min=1.0)).add_(0.5)
        level = level.clamp_(max=_LEVELS - 1).to(torch.int32)
        size = torch.bitwise_right_shift(torch.full_like(level, _SIZE), level)
        last = size - 1
        scale = size.to(u.dtype)
        u, v = u * scale - 0.5, v * scale - 0.5
        left, above = u.floor(), v.floor()
        part_u, part_v = (u - left)[:, None], (v - above)[:, None]
        left, above = left.to(torch.int32), above.to(torch.int32)
        start = self._starts.index_select(0, level)
        first, second = start + (above & last) * size, start + ((above + 1) & last) * size
        left, right = left & last, (left + 1) & last
        fetch = self._texels.index_select
        upper = torch.lerp(fetch(0, first + left), fetch(0, first + right), part_u)
        lower = torch.lerp(fetch(0, second + left), fetch(0, second + right), part_u)
        return torch.lerp(upper, lower, part_v)

    def cell(self, u: Float[Tensor, "n"], v: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """A number of about unit spread for each integer cell (u, v)."""
        row = (v * 37.0).to(torch.int32).bitwise_and_(_SIZE - 1)
        column = (u * 53.0).to(torch.int32).bitwise_and_(_SIZE - 1)
        return self._first.index_select(0, row * _SIZE + column)

    def white(
        self, size: tuple[int, int], shift: Int64[Tensor, "b c 2"]
    ) -> Float[Tensor, "b c h w"]:
        """Gaussian noise of unit spread, from another place of one large image for each shift."""
        row = (torch.arange(size[0], device=shift.device) + shift[..., :1]) % _WHITE[0]
        column = (torch.arange(size[1], device=shift.device) + shift[..., 1:]) % _WHITE[1]
        return self._white[row[..., :, None] * _WHITE[1] + column[..., None, :]]


def pulse(position: Tensor, duty: Tensor, width: Tensor) -> Tensor:
    """Stripes that cover [0, duty) of each unit, averaged over ``width`` around ``position``."""
    half = 0.5 * width.clamp(min=1e-3)
    start, end = position - half, position + half
    lower, upper = start.floor(), end.floor()
    before = lower * duty + torch.minimum(start - lower, duty)
    after = upper * duty + torch.minimum(end - upper, duty)
    return (after - before) / (end - start)


def step(distance: Tensor, width: Tensor) -> Tensor:
    """0 below, 1 above zero, with a ramp of ``width`` between."""
    return (distance / width + 0.5).clamp(0.0, 1.0)
