"""The coarser grid that attention runs on: shrinking to it, attending on it, enlarging from it."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from crosstask.models.layers.sizes import cell_count

POOLINGS = ("nearest", "average", "bilinear", "max")


def pool(x: Float[Tensor, "b c h w"], factor: int, how: str) -> Float[Tensor, "b c hs ws"]:
    """Shrink by a whole factor; a cell cut off by the border is pooled over what it has.

    The result has ceil(h / factor) rows. ``nearest`` keeps the top-left pixel of each cell.
    """
    if factor == 1:
        return x
    if how == "nearest":
        return x[..., ::factor, ::factor]
    if how == "max":
        return functional.max_pool2d(x, factor, factor, ceil_mode=True)
    if how == "average":
        return functional.avg_pool2d(x, factor, factor, ceil_mode=True)
    size = (cell_count(x.shape[-2], factor), cell_count(x.shape[-1], factor))
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def enlarge(
    x: Float[Tensor, "b c hs ws"], factor: int, size: tuple[int, int], how: str
) -> Float[Tensor, "b c h w"]:
    """Enlarge by a whole factor (``nearest`` or ``bilinear``) and crop to `size`."""
    if factor == 1:
        return x
    corners = None if how == "nearest" else False
    x = functional.interpolate(x, scale_factor=float(factor), mode=how, align_corners=corners)
    return x[..., : size[0], : size[1]]


def tokens(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 n c"]:
    """The positions of a map one after the other, contiguous, as fused attention wants them."""
    return x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)


def attend(
    query: Float[Tensor, "b c h w"],
    key: Float[Tensor, "b 1 n c"],
    value: Float[Tensor, "b 1 n c"],
) -> Float[Tensor, "b c h w"]:
    """Softmax attention of every position of `query` over n tokens; scale 1/sqrt(c), one head.

    Fused: the matrix of h w x n weights is never stored.
    """
    attended = functional.scaled_dot_product_attention(tokens(query), key, value)
    return attended.squeeze(1).transpose(1, 2).reshape(query.shape)
