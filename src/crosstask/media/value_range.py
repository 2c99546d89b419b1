"""Which stored values mean black and white: one rule for a whole dataset, never per image.

`auto` is the range of the stored data type: 0..255 of 8 bits, 0..65535 of 16, 0..1 of floats.
A camera of 12 bits, or a thermal one, declares its own: `0..4095`, `29000..31000`.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.media.reading import ImageError

ValueRange = tuple[float, float]
_NUMBER = r"\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*"
_TEXT = re.compile(rf"{_NUMBER}(?:\.\.|:|,){_NUMBER}")
_FEWEST = 16  # of 256 grey levels


def parse_value_range(value: str | Sequence[float] | None) -> ValueRange | None:
    """None for `auto`; (low, high) for "low..high" or two numbers.

    Raises:
        ValueError: anything else.
    """
    if value is None or value == "auto":
        return None
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    numbers = list(found.groups()) if found else value
    try:
        low, high = (float(number) for number in numbers)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f'`value_range` is {value!r}; expected "auto", or the stored values that are black and '
            'white, such as "0..4095"'
        )
    return low, high


def range_text(value: ValueRange | None) -> str:
    """As it is given on the command line."""
    return "auto" if value is None else f"{value[0]:g}..{value[1]:g}"


def type_range(dtype: np.dtype) -> ValueRange | None:
    """The range of a stored data type under `auto`; None where it says nothing (32-bit integers)."""
    if dtype.kind == "f":
        return 0.0, 1.0
    return (0.0, float(np.iinfo(dtype).max)) if dtype.itemsize <= 2 else None


def scale(
    values: np.ndarray, declared: ValueRange | None, name: str
) -> Float[Tensor, "*channels h w"]:
    """Stored values as float32 in [0,1]: low is 0, high is 1, what lies beyond is cut.

    Args:
        values: integers or floats.
        declared: the dataset's range, None for the data type's.
        name: of the file, for errors.

    Raises:
        ImageError: values that are not finite or beyond the type's range, or a declared range
            that the type cannot hold.
    """
    natural = type_range(values.dtype)
    low, high = declared or natural or (math.nan, math.nan)
    if math.isnan(low):
        raise ImageError(
            f"{name} holds {values.dtype}, a type without a natural range; give `value_range`, such "
            f"as {values.min()}..{values.max()}"
        )
    integers = values.dtype.kind in "iu"
    if declared and integers and natural and high > natural[1]:
        raise ImageError(
            f"{name} has {8 * values.dtype.itemsize} bits a channel, values up to {natural[1]:g}, but "
            f"`value_range` is {range_text(declared)}; was the file saved again with fewer bits? Take "
            "the original, or declare its own range"
        )
    if not integers and not np.isfinite(values).all():
        raise ImageError(f"{name} holds values that are not finite; expected numbers in each pixel")
    if not integers and declared is None and (values.min() < 0 or values.max() > 1):
        raise ImageError(
            f"{name} holds floats from {values.min():g} to {values.max():g}; expected 0 to 1; give "
            "`value_range` of the whole dataset"
        )
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return torch.from_numpy(np.ascontiguousarray(np.clip(scaled, 0.0, 1.0)))


def few_levels(pixels: Tensor, declared: ValueRange | None) -> str | None:
    """A warning where a scaled image (float32) uses a small part of its range, or lies beyond it."""
    if pixels.dtype != torch.float32:
        return None
    low, high = (float(edge) for edge in pixels.aminmax())
    beyond = float(((pixels == 0) | (pixels == 1)).float().mean())
    said = "the data type's range" if declared is None else f"`value_range` {range_text(declared)}"
    if high - low < _FEWEST / 256:
        return (
            f"{256 * (high - low):.1f} of 256 grey levels of {said} are used ({100 * low:.1f} to "
            f"{100 * high:.1f} % of it); declare the range of the whole dataset, e.g. "
            "`value_range` 0..4095"
        )
    if declared is not None and beyond > 0.5:
        return (
            f"{100 * beyond:.0f} % of the pixels lie at the ends of {said} or beyond; is it right?"
        )
    return None
