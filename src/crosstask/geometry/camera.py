"""Which matrices can be a camera: the one place that training, `data check` and prediction ask."""

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor

from crosstask.media.reading import DataError

FARTHEST = 1.0  # principal point, in sides of the image to either side of its middle
NORMALISED = 4.0  # focal lengths in sides of the image stay below this, those in pixels do not


class CameraError(DataError):
    """Numbers that cannot be a camera; says what they look like, and what to do."""


def camera_matrix(
    numbers: Sequence[float], name: str = "`intrinsics`", size: tuple[int, int] | None = None
) -> Tensor:
    """(3,3) float32 from fx fy cx cy, the nine numbers of a matrix, or the twelve of P = K [R | t].

    Args:
        numbers: in pixels, row by row.
        name: what is checked, for errors.
        size: height and width of the image as stored, where known.

    Raises:
        CameraError: another count, or no camera; see `check_camera`.
    """
    values = [float(number) for number in numbers]
    if len(values) == 4:
        fx, fy, cx, cy = values
        values = [fx, 0, cx, 0, fy, cy, 0, 0, 1]
    if len(values) == 12:
        values = [*values[0:3], *values[4:7], *values[8:11]]
    if len(values) != 9:
        raise CameraError(
            f"{name} holds {len(values)} numbers; expected fx fy cx cy, the 9 of a 3x3 matrix, or the "
            "12 of a 3x4 one"
        )
    matrix = torch.tensor(values, dtype=torch.float32).view(3, 3)
    check_camera(matrix, name, size)
    return matrix


def check_camera(matrix: Tensor, name: str, size: tuple[int, int] | None = None) -> None:
    """Holds a (3,3) matrix against what a pinhole camera can be.

    Finite; focal lengths above 0; 0 below the diagonal and 0 0 1 in the bottom row; the principal
    point near the image, where its size is known.

    Raises:
        CameraError: names what is wrong and what the numbers look like.
    """
    if tuple(matrix.shape) != (3, 3):
        raise CameraError(f"{name} has the shape {tuple(matrix.shape)}; expected (3, 3)")
    (fx, skew, cx), (low, fy, cy), bottom = matrix.tolist()
    shown = f"{name} is fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
    if not all(isfinite(value) for value in (fx, skew, cx, low, fy, cy, *bottom)):
        raise CameraError(f"{shown}, or holds something not finite; expected numbers in pixels")
    if bottom != [0.0, 0.0, 1.0] or low != 0:
        turned = cx == 0 and cy == 0 and bottom[2] == 1
        hint = (
            "it is transposed: swap rows and columns" if turned else "give K alone, not K [R | t]"
        )
        raise CameraError(
            f"{name} has the rows {matrix.tolist()}; expected fx s cx, 0 fy cy, 0 0 1; {hint}"
        )
    if fx <= 0 or fy <= 0:
        raise CameraError(f"{shown}; expected focal lengths in pixels, above 0")
    if fx < NORMALISED and fy < NORMALISED and abs(cx) <= 2 and abs(cy) <= 2:
        scaled = ""
        if size is not None:
            height, width = size
            scaled = f": {fx * width:g} {fy * height:g} {cx * width:g} {cy * height:g}"
        raise CameraError(
            f"{shown}: it looks divided by the size of the image; expected pixels, fx and cx times "
            f"the width, fy and cy times the height{scaled}"
        )
    if size is not None:
        _near(shown, cx, cy, *size)


def _near(shown: str, cx: float, cy: float, height: int, width: int) -> None:
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
    raise CameraError(
        f"{shown}; the image is {width} x {height} pixels (width x height), far from its principal "
        f"point{hint}"
    )


def off_the_middle(matrix: Tensor, size: tuple[int, int]) -> bool:
    """Whether the principal point lies as much off the middle across as down: of another size?"""
    height, width = size
    across = float((matrix[0, 2] + 0.5) / width - 0.5)
    down = float((matrix[1, 2] + 0.5) / height - 0.5)
    return abs(across) > 0.2 and abs(across - down) < 0.05
