"""Thin boundaries: morphological thinning and non-maximum suppression."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# East first, then counter-clockwise: x1 ... x8 of the papers, as (down, right).
_RING = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def thin(maps: Bools) -> Bools:
    """Morphological thinning until nothing changes: lines one pixel wide, same connectedness.

    Two half-steps in turn delete border pixels whose removal neither breaks nor shortens a line
    (Guo and Hall, CACM 1989, algorithm A1; the thinning of the BSDS benchmark).

    Args:
        maps: (T,H,W); each is thinned on its own. After the first pass only the neighbourhoods of
            deleted pixels are looked at again.
    """
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    flat = padded.ravel()
    ring = np.array([down * padded.shape[2] + right for down, right in _RING])
    tables = _deletable()
    active = np.nonzero(flat)[0]
    last = np.zeros(len(flat), dtype=np.int32)
    while len(active):
        removed = []
        for table in tables:
            code = np.zeros(len(active), dtype=np.uint8)
            for bit, step in enumerate(ring):
                code |= flat[active + step] << bit
            gone = table[code]
            flat[active[gone]] = 0
            removed.append(active[gone])
            active = active[~gone]
        touched = (np.concatenate(removed)[:, None] + ring).ravel()
        touched = touched[flat[touched] == 1]
        order = np.arange(len(touched), dtype=np.int32)
        last[touched] = order  # each pixel once: where its last mention is
        active = touched[last[touched] == order]
    return padded[:, 1:-1, 1:-1].astype(bool)


def _deletable() -> tuple[Bools, Bools]:
    """For each half-step: whether a pixel may go, by the bits of its eight neighbours."""
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1 == 1
    x = np.concatenate([x, x[:, :1]], axis=1)  # x[:, i] is x_{i+1} of the paper, x9 = x1
    odd, even, following = x[:, 0:8:2], x[:, 1:8:2], x[:, 2:9:2]
    crossings = (~odd & (even | following)).sum(1)
    pairs = np.minimum((odd | even).sum(1), (even | following).sum(1))
    both = (crossings == 1) & (pairs >= 2) & (pairs <= 3)
    first = ~((x[:, 1] | x[:, 2] | ~x[:, 7]) & x[:, 0])
    second = ~((x[:, 5] | x[:, 6] | ~x[:, 3]) & x[:, 4])
    return both & first, both & second


def suppress(probability: Floats, blur: int = 4, border: int = 5, gain: float = 1.01) -> Floats:
    """Non-maximum suppression of an edge map across the direction of its ridges.

    The direction is that in which the map, smoothed by a triangle filter, bends down most. A pixel
    stays where `gain` times its value reaches both bilinear neighbours one pixel away in that
    direction. The outermost `border` pixels fade out.

    Args:
        probability: (H,W).
        blur: radius of the triangle filter.
    """
    ramp = np.arange(1, blur + 2, dtype=np.float64)
    kernel = np.concatenate([ramp, ramp[-2::-1]]) / (blur + 1) ** 2
    smooth = ndimage.convolve1d(probability, kernel, axis=0, mode="reflect")
    smooth = ndimage.convolve1d(smooth, kernel, axis=1, mode="reflect")
    down, right = np.gradient(smooth)
    down_down, down_right = np.gradient(down)
    right_right = np.gradient(right, axis=1)
    angle = 0.5 * np.arctan2(2 * down_right, right_right - down_down) + np.pi / 2
    y, x = np.mgrid[: probability.shape[0], : probability.shape[1]].astype(np.float64)
    keep = np.ones(probability.shape, dtype=bool)
    for side in (-1, 1):
        place = np.stack([y + side * np.sin(angle), x + side * np.cos(angle)])
        beside = ndimage.map_coordinates(probability, place, order=1, mode="nearest")
        keep &= gain * probability >= beside
    height, width = probability.shape
    edge = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    return np.where(keep, probability, 0.0) * np.clip(edge / border, 0, 1)
