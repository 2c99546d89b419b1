"""Alpha channels of masks: what is transparent has no label that could be read."""

from pathlib import Path

import numpy as np

from crosstask.data.sample import DataError


def opaque(planes: np.ndarray, path: Path) -> np.ndarray:
    """(C,H,W) of an image file without its alpha channel, the last of two or four.

    Raises:
        DataError: it is transparent somewhere.
    """
    if len(planes) not in (2, 4):
        return planes
    if planes.dtype.kind == "u" and (planes[-1] < np.iinfo(planes.dtype).max).any():
        raise DataError(
            f"{path} has transparent pixels; save it without transparency, what is transparent as the "
            "value that it means"
        )
    return planes[:-1]
