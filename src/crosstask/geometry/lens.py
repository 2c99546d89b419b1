"""Lenses that bend straight lines: what a pinhole camera of the same matrix would have seen.

Coefficients are OpenCV's (Brown-Conrady): k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]].
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from kornia.geometry.calibration import distort_points
from torch import Tensor

from crosstask.geometry.camera import CameraError

LENGTHS = (4, 5, 8, 12, 14)  # numbers of coefficients
LEAST_INSIDE = 0.1  # of the pixels; what is not finite lies outside


def undistort(
    value: Shaped[Tensor, "*c h w"],
    matrix: Float[Tensor, "3 3"],
    distortion: tuple[float, ...],
    void: float | None = None,
    name: str = "the camera",
) -> Shaped[Tensor, "*c h w"]:
    """An image or map as the pinhole camera `matrix` sees it; size and matrix stay.

    Args:
        value: as stored, on the pixel grid that `matrix` belongs to.
        distortion: coefficients of the lens.
        void: of a label map, whose pixels are each taken from the nearest one; what lies outside the
            stored map is void. None for images: bilinear, black outside.
        name: of the camera in an error.

    Raises:
        CameraError: a lens that cannot be: it bends pixels without bounds, or nearly all of them out of
            the image.
    """
    size = (int(value.shape[-2]), int(value.shape[-1]))
    numbers = tuple(float(number) for number in matrix.flatten())
    grid, inside = _grid(numbers, distortion, size)
    if inside.float().mean() < LEAST_INSIDE:
        listed = ", ".join(f"{value:g}" for value in distortion)
        raise CameraError(
            f"{name} has the distortion {listed}, which bends nearly all pixels out of the image; expected "
            "OpenCV's coefficients k1 k2 p1 p2 [k3 ...] of this lens"
        )
    if void is None:
        plain = value.reshape(1, -1, *size).to(torch.float32)
        bent = F.grid_sample(plain, grid[None], "bilinear", "border", align_corners=True)
        bent = bent * inside
        bent = bent.round_() if value.dtype == torch.uint8 else bent
        return bent.to(value.dtype).reshape(value.shape)
    places = _nearest(numbers, distortion, size)
    taken = value.reshape(-1, size[0] * size[1])[:, places.flatten()].reshape(value.shape)
    return torch.where(inside, taken, torch.as_tensor(void, dtype=value.dtype))


def ray_directions(matrix: Float[Tensor, "3 3"], size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """The point at distance 1 along the optical axis that each pixel of (height, width) sees."""
    down = ((torch.arange(size[0], dtype=torch.float32) - matrix[1, 2]) / matrix[1, 1])[:, None]
    columns = torch.arange(size[1], dtype=torch.float32) - matrix[0, 2]
    across = (columns[None] - matrix[0, 1] * down) / matrix[0, 0]
    return torch.stack([across, down.expand_as(across), torch.ones_like(across)])


def ray_lengths(matrix: Float[Tensor, "3 3"], size: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Distance from the camera of what each pixel sees at distance 1 along the optical axis."""
    return ray_directions(matrix, size).norm(dim=0, keepdim=True)


@lru_cache(maxsize=2)
def _stored_places(
    matrix: tuple[float, ...], distortion: tuple[float, ...], size: tuple[int, int]
) -> Float[Tensor, "h w 2"]:
    """Column and row, in the stored image, of every pixel of the undistorted one."""
    rows, columns = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float64),
        torch.arange(size[1], dtype=torch.float64),
        indexing="ij",
    )
    pixels = torch.stack([columns, rows], dim=-1).reshape(-1, 2)
    camera = torch.tensor(matrix, dtype=torch.float64).view(3, 3)
    bent = distort_points(pixels, camera, torch.tensor(distortion, dtype=torch.float64))
    return bent.reshape(*size, 2)


@lru_cache(maxsize=2)
def _grid(
    matrix: tuple[float, ...], distortion: tuple[float, ...], size: tuple[int, int]
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """What `grid_sample` takes, and which pixels lie inside the stored image."""
    places = _stored_places(matrix, distortion, size)
    sides = torch.tensor([max(size[1] - 1, 1), max(size[0] - 1, 1)], dtype=torch.float64)
    return (2 * places / sides - 1).float(), _inside(places, size)


@lru_cache(maxsize=2)
def _nearest(
    matrix: tuple[float, ...], distortion: tuple[float, ...], size: tuple[int, int]
) -> Int[Tensor, "h w"]:
    places = _stored_places(matrix, distortion, size)
    columns, rows = places.nan_to_num(-1.0).round().unbind(-1)
    columns, rows = columns.clamp(0, size[1] - 1).long(), rows.clamp(0, size[0] - 1).long()
    return rows * size[1] + columns


def _inside(places: Float[Tensor, "h w 2"], size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    columns, rows = places.unbind(-1)
    return (columns > -0.5) & (columns < size[1] - 0.5) & (rows > -0.5) & (rows < size[0] - 0.5)
