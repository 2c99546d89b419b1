"""A walled street or room, seen by a pinhole camera: analytic depth, normals and regions."""

from dataclasses import dataclass

import numpy as np

SKY, GROUND, LEFT, FAR, BOX, RIGHT = range(6)
_COLOURS = np.array(
    [(120, 170, 230), (110, 110, 110), (170, 90, 60), (80, 140, 70), (200, 40, 40), (190, 160, 90)]
)
_NORMALS = np.array([(0, 0, 0), (0, -1, 0), (1, 0, 0), (0, 0, -1), (0, 0, -1), (-1, 0, 0)], float)


@dataclass(frozen=True)
class Scene:
    """image (H,W,3) uint8; depth (H,W) metres, 0 sky; normals (H,W,3); regions (H,W)."""

    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    regions: np.ndarray


def render(
    index: int,
    size: tuple[int, int],
    camera: tuple[float, float, float, float],
    *,
    open_sky: bool = True,
    extent: float = 1.0,
) -> Scene:
    """Scene number `index`; the box wanders with it. `extent` scales all lengths."""
    fx, fy, cx, cy = camera
    v, u = np.mgrid[: size[0], : size[1]].astype(float)
    x, y = (u - cx) / fx, (v - cy) / fy
    height, half, far = 1.5 * extent, 3.0 * extent, 14.0 * extent
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.stack(
            [
                np.full_like(x, np.inf),
                np.where(y > 0, height / y, np.inf),
                np.where(x < 0, -half / x, np.inf),
                np.full_like(x, far),
                _box(index, x, y, extent),
                np.where(x > 0, half / x, np.inf),
            ]
        )
    regions = distances.argmin(0)
    depth = distances.min(0)
    if open_sky:
        regions = np.where(y * depth < -2.2 * extent, SKY, regions)
    depth = np.where(regions == SKY, 0, depth)
    shade = np.random.default_rng(index).integers(-15, 16, (*size, 1))
    image = np.clip(_COLOURS[regions] + shade, 0, 255).astype(np.uint8)
    return Scene(image, depth.astype(np.float32), _NORMALS[regions].astype(np.float32), regions)


def _box(index: int, x: np.ndarray, y: np.ndarray, extent: float) -> np.ndarray:
    distance = (4 + index % 4) * extent
    centre = ((index % 5) * 0.5 - 1.0) * extent
    inside = (np.abs(x * distance - centre) < 0.7 * extent) & (y * distance > -0.2 * extent)
    return np.where(inside, distance, np.inf)
