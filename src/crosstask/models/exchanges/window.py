"""Cross-task attention inside windows: local, with several heads and a learned position bias."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.exchanges.xtam import Correlation, CrossTaskAttention
from crosstask.models.layers.attention_grid import pool
from crosstask.models.layers.projection import projection
from crosstask.models.layers.sizes import cell_count, crop, pad_to_multiple


class WindowCorrelation(Correlation):
    """The correlation of xTAM, with each target cell reading only its own window of the source.

    The windows do not overlap; a bias for every offset inside a window is learned (Swin; Liu et
    al. 2021). Cost is linear in the number of pixels, so the attention grid may be finer than
    that of the global form. Maps that the windows do not divide are padded by repeating the border.

    Args:
        channels: of target, source and result; a multiple of `heads`.
        downscale: pixels of the level per cell of the attention grid.
        window: cells along a window's side.
        heads: number of heads.
        alpha: scale the result by a learned vector that starts at 0.
    """

    bias_index: Tensor

    def __init__(
        self, channels: int, downscale: int, window: int = 8, heads: int = 4, alpha: bool = True
    ) -> None:
        super().__init__()
        if window < 1 or heads < 1 or channels % heads:
            raise ValueError(
                f"`window` is {window} and `heads` {heads} for {channels} channels; expected at "
                "least 1 each, and heads that divide the channels."
            )
        self.outputs = channels
        self.downscale, self.window, self.heads = downscale, window, heads
        self.query, self.key, self.value = (projection(channels, channels) for _ in range(3))
        self.alpha = nn.Parameter(torch.zeros(channels)) if alpha else None
        self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        self.register_buffer("bias_index", _offsets(window), persistent=False)

    def project(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values on the attention grid."""
        source = pool(source, self.downscale, "max")
        query = self.query(pool(target, self.downscale, "nearest"))
        return query, self.key(source), self.value(source)

    def forward(
        self, target: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c hs ws"]:
        query, key, value = self.project(target, source)
        height, width = query.shape[-2:]
        q, k, v = (self._windows(x) for x in (query, key, value))
        bias = self.bias[:, self.bias_index].to(q.dtype).unsqueeze(0)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.scaled(self._unwindows(attended, query.shape[0], height, width))

    def _windows(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "n heads cells d"]:
        side = self.window
        x = pad_to_multiple(x, side)
        batch, channels, height, width = x.shape
        x = x.view(batch, self.heads, -1, height // side, side, width // side, side)
        x = x.permute(0, 3, 5, 1, 4, 6, 2)
        return x.reshape(-1, self.heads, side * side, channels // self.heads)

    def _unwindows(
        self, x: Float[Tensor, "n heads cells d"], batch: int, height: int, width: int
    ) -> Float[Tensor, "b c h w"]:
        side = self.window
        rows, columns = cell_count(height, side), cell_count(width, side)
        x = x.view(batch, rows, columns, self.heads, side, side, -1).permute(0, 3, 6, 1, 4, 2, 5)
        x = x.reshape(batch, self.outputs, rows * side, columns * side)
        return crop(x, (height, width))

    def row(
        self,
        target: Float[Tensor, "b c h w"],
        source: Float[Tensor, "b c h w"],
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """Weights of one target pixel (row, column), mean over heads; zero outside its window."""
        query, key, _ = self.project(target, source)
        batch, _, height, width = query.shape
        q, k = self._windows(query), self._windows(key)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + self.bias[:, self.bias_index]
        weights = logits.softmax(-1).mean(1)
        side = self.window
        y, x = pixel[0] // self.downscale, pixel[1] // self.downscale
        weights = weights.view(batch, -1, cell_count(width, side), side * side, side, side)
        inside = weights[:, y // side, x // side, (y % side) * side + x % side]
        top, left = y - y % side, x - x % side
        full = inside.new_zeros(batch, height + side, width + side)
        full[:, top : top + side, left : left + side] = inside
        return full[:, :height, :width]


class WindowExchange(TaskExchange):
    """mTEB whose correlations are windowed; fusion, gate and projections are those of `TaskExchange`."""

    def create_direction(  # type: ignore[override]
        self,
        downscale: int,
        window: int = 8,
        heads: int = 4,
        alpha: bool = True,
        self_attention: str | None = "half",
    ) -> CrossTaskAttention:
        correlation = WindowCorrelation(self.channels, downscale, window, heads, alpha)
        return CrossTaskAttention(self.channels, downscale, correlation, self_attention)


def _offsets(window: int) -> Tensor:
    """For each pair of cells of a window the index of their offset, (window^2, window^2)."""
    cells = torch.arange(window)
    y, x = (axis.flatten() for axis in torch.meshgrid(cells, cells, indexing="ij"))
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx
