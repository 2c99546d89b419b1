"""Padding to sizes that a grid divides, and cropping back, also for sizes that vary after export."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def pad_to_multiple(x: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c H W"]:
    """Repeat the last row and column until height and width are multiples of `multiple`."""
    # In this form the halves of halves of a padded size stay short in an export (16 * ((h + 31) // 32)); with
    # ``-h % multiple`` they nest, and tracing takes minutes. Padded even by nothing: a branch here would tie an
    # exported network to sizes that divide.
    bottom, right = (cell_count(n, multiple) * multiple - n for n in x.shape[-2:])
    return functional.pad(x, (0, right, 0, bottom), mode="replicate")


def cell_count(length: int, side: int) -> int:
    """How many cells of `side` pixels cover `length` pixels.

    Not ``-(-length // side)``: an exported network in ONNX divides towards zero.
    """
    return (length + side - 1) // side


def is_fixed(*lengths: int) -> bool:
    """Whether these are numbers, not lengths that stay open in an exported network."""
    return all(isinstance(length, int) for length in lengths)


def crop(x: Float[Tensor, "b c H W"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """The top left `size` pixels."""
    if torch.compiler.is_exporting() and not is_fixed(*x.shape[-2:], *size):
        # a view would tie the exported network to sizes for which it is, or is not, contiguous
        rows = torch.arange(size[0], device=x.device)
        columns = torch.arange(size[1], device=x.device)
        return x.index_select(2, rows).index_select(3, columns)
    return x[..., : size[0], : size[1]]
