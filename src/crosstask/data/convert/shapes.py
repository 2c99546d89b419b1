"""Regions as annotation tools store them, and how they become pixels: by COCO's own rasteriser."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstask.data.convert.annotations import UNLABELLED, Overlap, Size
from crosstask.data.sample import DataError

_FARTHEST = 1e6  # pixels


@dataclass(frozen=True)
class Polygons:
    """Polygons whose union is one region: x y x y ... in pixels from the image's corner."""

    rings: tuple[tuple[float, ...], ...]

    def mask(self, size: Size) -> np.ndarray:
        """(H,W) boolean."""
        coco = _pycocotools()
        runs = coco.frPyObjects([list(ring) for ring in self.rings], *size)
        return np.asarray(coco.decode(coco.merge(runs))).astype(bool)


@dataclass(frozen=True)
class Runs:
    """COCO's run lengths, column by column: numbers, or their compressed text; of (height, width)."""

    counts: tuple[int, ...] | str
    size: Size

    def mask(self, size: Size) -> np.ndarray:
        """(H,W) boolean."""
        coco = _pycocotools()
        if self.size != size:
            raise DataError(f"its run lengths are of {self.size} (height, width), its image {size}")
        if isinstance(self.counts, str):
            runs: Any = {"size": list(size), "counts": self.counts.encode()}
        elif min(self.counts, default=-1) < 0 or sum(self.counts) != size[0] * size[1]:
            raise DataError(f"its run lengths are not those of {size[0] * size[1]} pixels")
        else:
            runs = coco.frPyObjects({"size": list(size), "counts": list(self.counts)}, *size)
        return np.asarray(coco.decode(runs)).astype(bool)


@dataclass(frozen=True)
class Window:
    """Pixels within a box: a boolean array with its first row and column."""

    pixels: np.ndarray
    top: int
    left: int

    def mask(self, size: Size) -> np.ndarray:
        """(H,W) boolean; what lies outside the image is cut."""
        whole = np.zeros(size, bool)
        top, left = max(self.top, 0), max(self.left, 0)
        inner = self.pixels[top - self.top :, left - self.left :]
        inner = inner[: max(size[0] - top, 0), : max(size[1] - left, 0)]
        whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return whole


@dataclass(frozen=True)
class Shape:
    """A region of a class; of equal `layer` the later one lies above."""

    label: int
    region: Polygons | Runs | Window
    layer: int = 0


def draw_shapes(shapes: Sequence[Shape], overlap: Overlap, what: str, size: Size) -> np.ndarray:
    """(H,W) int32 map of labels, `UNLABELLED` where there is no shape.

    Args:
        overlap: "order" lets the later region win (after its layer), "area" the smaller one.
        what: the image, for errors.
    """
    result = np.full(size, UNLABELLED, np.int32)
    try:
        masks = [(shape, shape.region.mask(size)) for shape in shapes]
    except DataError as error:
        raise DataError(f"{what}: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:  # pycocotools' own
        raise DataError(f"{what} has a region that cannot be drawn ({error})") from error
    if overlap == "area":
        masks.sort(key=lambda pair: -int(pair[1].sum()))
    else:
        masks.sort(key=lambda pair: pair[0].layer)
    for shape, mask in masks:
        result[mask] = shape.label
    return result


def polygons(rings: Sequence[Sequence[float]]) -> Polygons | None:
    """Rings of three points or more; None where none is left.

    Raises:
        ValueError: numbers that are not finite, or an odd count of them.
    """
    kept = []
    for ring in rings:
        numbers = tuple(float(number) for number in ring)
        if len(numbers) % 2 or not all(abs(number) < _FARTHEST for number in numbers):
            raise ValueError(f"a polygon of {len(numbers)} numbers, such as {numbers[:4]}")
        if len(numbers) >= 6:
            kept.append(numbers)
    return Polygons(tuple(kept)) if kept else None


def box(left: float, top: float, right: float, bottom: float, turn: float = 0.0) -> Polygons | None:
    """A rectangle, turned clockwise by degrees about its middle."""
    x, y = (left + right) / 2, (top + bottom) / 2
    across, down = (right - left) / 2, (bottom - top) / 2
    corners = [(-across, -down), (across, -down), (across, down), (-across, down)]
    return polygons([_turned(x, y, corners, turn)])


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> Polygons | None:
    """An ellipse by its middle and half axes, turned clockwise by degrees, as 72 points."""
    angles = [2 * math.pi * step / 72 for step in range(72)]
    points = [(across * math.cos(angle), down * math.sin(angle)) for angle in angles]
    return polygons([_turned(x, y, points, turn)])


def _turned(x: float, y: float, points: Sequence[tuple[float, float]], turn: float) -> list[float]:
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [value for a, b in points for value in (x + c * a - s * b, y + s * a + c * b)]


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            "polygons and run lengths need a further package: pip install 'crosstask[annotations]'"
        ) from error
    return mask
