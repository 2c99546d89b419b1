"""Window self-attention on a feature map: SCA-MTL's ATT, and the block its FPMA shares.

Sources: Liu et al., Swin Transformer, ICCV 2021; Kim, Choi and Min, SCA-MTL, ICIP 2022.
The blocks have no feed-forward part. The released SCA-MTL carries a second layer norm per block
that is never called; it is left out here (for d channels 4 d parameters per ATT module).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from timm.layers import DropPath
from torch import Tensor, nn

from crosstask.models.layers.sizes import cell_count


def to_windows(x: Float[Tensor, "b h w c"], size: int) -> Float[Tensor, "bn s c"]:
    """Cuts a map whose sides are multiples of ``size`` into windows of ``size * size`` tokens."""
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return _copy(x.transpose(2, 3)).flatten(0, 2).flatten(1, 2)


def from_windows(
    windows: Float[Tensor, "bn s c"], size: int, rows: int, columns: int
) -> Float[Tensor, "b h w c"]:
    """Inverse of :func:`to_windows`; `rows` and `columns` count windows."""
    x = windows.unflatten(1, (size, size)).unflatten(0, (-1, rows, columns))
    return _copy(x.transpose(2, 3)).flatten(3, 4).flatten(1, 2)


def _copy(x: Tensor) -> Tensor:
    """A contiguous copy, made without asking whether it is needed.

    The answer depends on whether there is one row of windows or more, and an exported program would
    be bound to the answer for its example.
    """
    return x.clone(memory_format=torch.contiguous_format)


def shift_regions(
    height: int, width: int, size: int, shift: int, device: torch.device
) -> Bool[Tensor, "n s s"]:
    """Which pairs of tokens of a window lie in one region of the unshifted map.

    A cyclic shift glues opposite borders together; tokens from two sides of the seam must not
    see each other.
    """

    def bands(length: int) -> Int[Tensor, " length"]:
        position = torch.arange(length, device=device)
        return (position >= length - size).long() + (position >= length - shift).long()

    region = bands(height)[:, None] * 3 + bands(width)[None]
    tokens = to_windows(region[None, ..., None].float(), size).squeeze(-1)
    return tokens[:, :, None] == tokens[:, None, :]


class WindowAttentionBlock(nn.Module):
    """``x + DropPath(projection(attention(LN(x))))`` within windows, with relative position bias.

    Maps are padded with zeros (after the layer norm, right and bottom) to a multiple of the
    window, as released: padded tokens take part with the bias of keys and values.

    Args:
        channels: width; must be divisible by ``heads``.
        heads: number of heads.
        window: side of the window in positions of the map.
        shift: cyclic shift of the windows, 0 for none.
        drop_path: rate of stochastic depth.
    """

    relative_index: Tensor

    def __init__(
        self, channels: int, heads: int, window: int = 7, shift: int = 0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(
                f"`channels` is {channels}; expected a multiple of the {heads} heads of window "
                "attention; give the model a 1x1 neck (neck=True)"
            )
        self.heads, self.window, self.shift = heads, window, shift
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.drop_path = DropPath(drop_path)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        position = torch.arange(window)
        offset = position[:, None] - position[None] + window - 1
        index = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]
        self.register_buffer(
            "relative_index", index.reshape(window**2, window**2), persistent=False
        )

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Tokens in, tokens out; any height and width."""
        b, h, w, c = x.shape
        size = self.window
        rows, columns = cell_count(h, size), cell_count(w, size)
        inner = F.pad(self.norm(x), (0, 0, 0, columns * size - w, 0, rows * size - h))
        if self.shift:
            inner = torch.roll(inner, (-self.shift, -self.shift), (1, 2))
        windows = to_windows(inner, size)
        qkv = self.qkv(windows).view(-1, size**2, 3, self.heads, c // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.position_bias[self.relative_index].permute(2, 0, 1)[None]
        if self.shift:
            same = shift_regions(rows * size, columns * size, size, self.shift, x.device)
            bias = bias + torch.where(same, 0.0, -100.0).to(bias.dtype)[:, None]
            bias = bias.repeat(b, 1, 1, 1)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        out = self.projection(_copy(out.transpose(1, 2)).flatten(2))
        out = from_windows(out, size, rows, columns)
        if self.shift:
            out = torch.roll(out, (self.shift, self.shift), (1, 2))
        return x + self.drop_path(out[:, :h, :w])


class WindowSelfAttention(nn.Module):
    """A stack of window attention blocks on a map: 1x1 convolution, LN, blocks, LN.

    SCA-MTL's ATT is ``blocks=2, heads=6`` with shifts 0 and 3 and stochastic depth 0 and 0.2; the
    gate of its FPMA is ``blocks=1, heads=4`` without either.

    Args:
        channels: width in and out.
        heads, blocks, window: of the attention; odd blocks are shifted by half a window.
        drop_path: rate of the last block; rates rise linearly from 0.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 6,
        blocks: int = 2,
        window: int = 7,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, channels, 1)
        self.embed_norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(
            WindowAttentionBlock(
                channels,
                heads,
                window,
                shift=window // 2 if i % 2 else 0,
                drop_path=drop_path * i / max(blocks - 1, 1),
            )
            for i in range(blocks)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Cost is linear in height x width."""
        tokens = self.embed_norm(self.embed(x).permute(0, 2, 3, 1))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).permute(0, 3, 1, 2)
