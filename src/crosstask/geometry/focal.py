"""Focal lengths in pixels from what people know of a camera: its field of view, or a lens in mm."""

import math

FILM = math.hypot(36.0, 24.0)
"""Millimetres: the diagonal of 35 mm film, which "equivalent" focal lengths refer to (CIPA DCG-001)."""


def focal_of_view(degrees: float, width: int) -> float:
    """Focal length in pixels of an image whose `width` pixels see so many degrees.

    Raises:
        ValueError: no field of view of a pinhole camera.
    """
    if not 0.01 <= degrees <= 179.9:
        raise ValueError(
            f"`fov` is {degrees:g}; expected the horizontal field of view in degrees, from 0.01 to 179.9"
        )
    return 0.5 * width / math.tan(math.radians(degrees) / 2)


def focal_of_film(millimetres: float, height: int, width: int) -> float:
    """Focal length in pixels of a whole image with this focal length equivalent on 35 mm film.

    Stored in whole millimetres, it is good to some percent.
    """
    return millimetres * math.hypot(height, width) / FILM
