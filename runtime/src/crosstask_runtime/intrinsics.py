"""Camera matrices: which ones can be a camera, turned upright, and the points that they see.

By the rules of crosstask itself (its `geometry.camera` and `geometry.pinhole`), which this package
does without; the tests of crosstask hold both against each other.
"""

import math
from collections.abc import Sequence

import numpy as np

Matrix = Sequence[Sequence[float]] | np.ndarray

FARTHEST = 1.0
"""Principal point, in sides of the image to either side of its middle."""
NORMALISED = 4.0
"""Focal lengths in sides of the image stay below this, those in pixels do not."""


def camera_matrix(intrinsics: Matrix, size: tuple[int, int] | None = None) -> np.ndarray:
    """(3,3) float64, held against what a pinhole camera can be.

    Finite; focal lengths above 0; 0 below the diagonal and 0 0 1 in the bottom row; not divided by
    the size of the image; the principal point near the image, where its size is known.

    Args:
        intrinsics: (3,3) in pixels of the image as stored.
        size: height and width of the image as stored.

    Raises:
        ValueError: names what is wrong, what the numbers look like, and what to do.
    """
    matrix = np.asarray(intrinsics, np.float64)
    if matrix.shape != (3, 3):
        raise ValueError(f"`intrinsics` has the shape {matrix.shape}; expected (3, 3)")
    (fx, _, cx), (low, fy, cy), bottom = matrix.tolist()
    shown = f"`intrinsics` is fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
    if not np.isfinite(matrix).all():
        raise ValueError(f"{shown}, or holds something not finite; expected numbers in pixels")
    if bottom != [0.0, 0.0, 1.0] or low != 0:
        turned = cx == 0 and cy == 0 and bottom[2] == 1
        hint = (
            "it is transposed: swap rows and columns" if turned else "give K alone, not K [R | t]"
        )
        raise ValueError(
            f"`intrinsics` has the rows {matrix.tolist()}; expected fx s cx, 0 fy cy, 0 0 1; {hint}"
        )
    if fx <= 0 or fy <= 0:
        raise ValueError(f"{shown}; expected focal lengths in pixels, above 0")
    if fx < NORMALISED and fy < NORMALISED and abs(cx) <= 2 and abs(cy) <= 2:
        scaled = ""
        if size is not None:
            height, width = size
            scaled = f": {fx * width:g} {fy * height:g} {cx * width:g} {cy * height:g}"
        raise ValueError(
            f"{shown}: it looks divided by the size of the image; expected pixels, fx and cx times "
            f"the width, fy and cy times the height{scaled}"
        )
    if size is not None:
        _check_near(shown, cx, cy, *size)
    return matrix


def _check_near(shown: str, cx: float, cy: float, height: int, width: int) -> None:
    across, down = (cx + 0.5) / width - 0.5, (cy + 0.5) / height - 0.5
    if abs(across) <= FARTHEST and abs(down) <= FARTHEST:
        return
    hint = ""
    if cx > 0 and cy > 0:
        hint = (
            f"; it looks like the camera of an image of about {2 * cx + 1:.0f} x {2 * cy + 1:.0f} "
            "pixels: give that of the image as it is stored, fx and cx scaled by its width, fy and cy "
            "by its height"
        )
    raise ValueError(
        f"{shown}; the image is {width} x {height} pixels (width x height), far from its principal "
        f"point{hint}"
    )


def centred(focal: float, height: int, width: int) -> np.ndarray:
    """A camera with square pixels and the principal point in the middle."""
    return np.array(
        [[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]
    )


def focal_of_matrix(matrix: np.ndarray) -> float:
    """Geometric mean of both axes' focal lengths."""
    return math.sqrt(float(matrix[0, 0]) * float(matrix[1, 1]))


def turned_upright(matrix: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """The camera of a stored image that was turned upright by its EXIF orientation, 1 to 8.

    Focal lengths stay positive: the camera's axes go right and down in the upright image.

    Args:
        height, width: of the stored image, whose pixels `matrix` counts.
    """
    right, down = float(width - 1), float(height - 1)
    pixels = {
        2: ((-1.0, 0.0, right), (0.0, 1.0, 0.0)),
        3: ((-1.0, 0.0, right), (0.0, -1.0, down)),
        4: ((1.0, 0.0, 0.0), (0.0, -1.0, down)),
        5: ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
        6: ((0.0, -1.0, down), (1.0, 0.0, 0.0)),
        7: ((0.0, -1.0, down), (-1.0, 0.0, right)),
        8: ((0.0, 1.0, 0.0), (-1.0, 0.0, right)),
    }.get(orientation)
    if pixels is None:
        return matrix
    move = np.array([*pixels, (0.0, 0.0, 1.0)])
    axes = move.copy()
    axes[:2, 2] = 0.0
    return move @ matrix @ axes.T


def unproject(depth: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(H,W,3) float32 points (x right, y down, z forward) that the pixels of a depth map (H,W) see.

    Args:
        matrix: (3,3) in pixels of the map; of a turned camera with skew also with a number below the
            diagonal.
    """
    (fx, skew, cx), (low, fy, cy), _ = matrix.tolist()
    height, width = depth.shape
    right, down = np.arange(width)[None] - cx, np.arange(height)[:, None] - cy
    area = fx * fy - skew * low
    x, y = (fy * right - skew * down) / area, (fx * down - low * right) / area
    return np.stack([x * depth, y * depth, depth], axis=-1).astype(np.float32)
