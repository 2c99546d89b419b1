"""Edges and saliency as people save them: 0/1, 0/255, booleans, or grey with soft borders."""

from pathlib import Path

import numpy as np

from crosstask.data.files import read_npy
from crosstask.data.folder.transparency import opaque
from crosstask.data.sample import DataError
from crosstask.media.images import read_map

SUFFIXES = (".png", ".npy", ".bmp", ".tif", ".tiff", ".gif")
_UNKNOWN = (127, 128)
VOID = 255.0
_OVERSHOOT = 2.0


def read_binary(path: Path, unknown: bool) -> np.ndarray:
    """(H,W) float32: 0, 1, and the void 255.

    Values up to 1 are 0 and 1 (floats from above 0.5); otherwise the upper half of the range of the
    data type is 1. Negative values (-1) and floats that are not finite are void.

    Args:
        unknown: whether the middle grey 127 or 128 of 8 bits is void.

    Raises:
        DataError: unreadable, channels that differ, or 0, 1 and 255 in one map.
    """
    stored = _one_channel(path)
    labelled = _labelled(stored)
    top = stored[labelled].max(initial=0)
    if top == 255 and set(np.unique(stored[labelled]).tolist()) == {0, 1, 255}:
        raise DataError(
            f"{path} holds 0, 1 and 255, and 255 could be unlabelled or the same as 1; save the map as 0 "
            "and 1 with -1 (or NaN in floats) where it is unlabelled"
        )
    if stored.dtype.kind == "f":  # enlarged ones may go a little beyond 1
        values = stored / 255 > 0.5 if top > _OVERSHOOT else stored > 0.5
    else:
        values = stored > (0 if top <= 1 else _middle(stored))
    values = np.where(labelled, values, VOID).astype(np.float32)
    if unknown and stored.dtype.kind != "f" and 1 < top < 256:
        values[np.isin(stored, _UNKNOWN)] = VOID
    return values


def _labelled(stored: np.ndarray) -> np.ndarray:
    """Where a value says something: finite, and not negative by more than resizing makes it."""
    return np.isfinite(stored) & (stored.astype(np.float64) > -0.5)


def soft_share(path: Path, unknown: bool) -> tuple[float, str]:
    """Share of the pixels that are neither of the two values nor unknown, and the values met."""
    stored = _one_channel(path)
    if stored.dtype == bool:
        return 0.0, ""
    stored = stored[_labelled(stored)]
    if not stored.size:
        return 0.0, ""
    top = stored.max()
    ends = (0, 1) if top <= 1 else (0, 255 if top < 256 else 65535)
    values, counts = np.unique(stored, return_counts=True)
    known = np.isin(values, (*ends, *_UNKNOWN) if unknown else ends)
    shown = ", ".join(f"{value:g}" for value in values[~known][:4])
    return float(counts[~known].sum() / stored.size), shown


def grey_remark(path: Path, unknown: bool) -> str | None:
    """What `data check` tells of a file with values between the two; None without any."""
    share, values = soft_share(path, unknown)
    if not share:
        return None
    return (
        f"{path} holds grey values between the two ({values}; {100 * share:.1f} % of the pixels), cut in "
        "the middle"
    )


def _middle(stored: np.ndarray) -> int:
    return 128 if stored.max(initial=0) < 256 else 32767


def _one_channel(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        if array.ndim not in (2, 3) or array.size != np.prod(array.shape[:2]):
            raise DataError(f"{path} has the shape {array.shape}; expected (H, W)")
        return array.reshape(array.shape[:2])
    planes = opaque(read_map(path), path)
    if (planes != planes[:1]).any():
        raise DataError(
            f"{path} has {len(planes)} channels that differ; expected one: 0 and 1, or 0 and 255"
        )
    return planes[0]
