"""Scaling of channel counts, so that one architecture exists in every size."""


def scale_channels(channels: int, width: float, multiple: int = 8) -> int:
    """Multiply a channel count by `width` and round to a multiple of 8 (or of `multiple`, and at least that).

    ``width=1`` leaves the published numbers as they are, all of them multiples of 8.

    Raises:
        ValueError: `width` is not positive.
    """
    if not width > 0:
        raise ValueError(f"`width` is {width}; expected a number above 0; 1.0 is the paper's size.")
    return max(multiple, round(channels * width / multiple) * multiple)
