"""The focal length of an image: what was given, else what its EXIF data tell.

By the rules of crosstask itself (its `predict.camera`, `media.exif` and `geometry.focal`), which this
package does without; the tests of crosstask hold both against each other.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from crosstask_runtime.intrinsics import (
    NORMALISED,
    Matrix,
    camera_matrix,
    centred,
    focal_of_matrix,
    turned_upright,
)

if TYPE_CHECKING:
    from PIL import Image

    from crosstask_runtime.images import StoredImage

_FILM = math.hypot(36.0, 24.0)  # millimetres: the diagonal of 35 mm film
_EXIF = 0x8769  # the directory of the camera's settings
_WIDTH, _HEIGHT, _ZOOM, _FOCAL = 0xA002, 0xA003, 0xA404, 0xA405
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class KnownFocal:
    """A focal length in pixels, or None, where it is from, in words, and the camera (3,3) of the
    upright image: the one given, else one with the principal point in the middle."""

    pixels: float | None = None
    source: str = ""
    matrix: np.ndarray | None = None


def check_focal(
    intrinsics: Matrix | None,
    fx: float | None,
    fov: float | None,
    size: tuple[int, int] | None = None,
) -> None:
    """Holds what was given against itself, and against the image.

    Args:
        size: height and width of the image as stored, where known.

    Raises:
        ValueError: several ways at once, no camera, no number, no focal length, or no field of view.
    """
    ways = {"intrinsics": intrinsics, "fx": fx, "fov": fov}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"`{given[0]}` and `{given[1]}` are given; give one of them")
    for name, value in (("fx", fx), ("fov", fov)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"`{name}` is {value!r}; expected a number")
    if intrinsics is not None:
        camera_matrix(intrinsics, size)
    if fx is not None and not (math.isfinite(fx) and fx > 0):
        raise ValueError(f"`fx` is {fx}; expected a focal length in pixels, above 0")
    if fx is not None and fx < NORMALISED:
        raise ValueError(
            f"`fx` is {fx:g}: it looks divided by the size of the image; expected a focal length in "
            f"pixels, {NORMALISED:g} or more: multiply it by the width"
        )
    if fov is not None:
        focal_of_view(fov, 1)


def focal_of_image(
    image: "StoredImage",
    intrinsics: Matrix | None = None,
    fx: float | None = None,
    fov: float | None = None,
    exif: bool = True,
) -> KnownFocal:
    """The focal length in pixels of the image, and its camera.

    Args:
        intrinsics: (3,3) in pixels of the image as stored; turned upright as the image was.
        fx: focal length in pixels.
        fov: degrees across the image as stored.
        exif: take the focal length of the EXIF data where nothing is given.

    Raises:
        ValueError: see `check_focal`.
    """
    height, width = image.pixels.shape[:2]
    stored = (width, height) if image.orientation in (5, 6, 7, 8) else (height, width)
    check_focal(intrinsics, fx, fov, stored)
    if intrinsics is not None:
        matrix = turned_upright(camera_matrix(intrinsics, stored), image.orientation, *stored)
        return KnownFocal(focal_of_matrix(matrix), "intrinsics", matrix)
    source = "fx"
    if fov is not None:
        fx, source = focal_of_view(fov, stored[1]), f"a field of view of {fov:g} degrees"
    elif fx is None and exif and image.film_focal is not None:
        fx = image.film_focal * math.hypot(height, width) / _FILM
        source = f"EXIF ({image.film_focal:g} mm on 35 mm film)"
    return KnownFocal() if fx is None else KnownFocal(fx, source, centred(fx, height, width))


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


def film_focal(exif: "Image.Exif", width: int, height: int) -> float | None:
    """Millimetres on 35 mm film (FocalLengthIn35mmFilm) with the same diagonal field of view.

    Args:
        width, height: of the pixels as stored.

    Returns:
        None where there is none, or where it is not this image's: another shape than the camera wrote
        (cropped since), or enlarged by the camera (DigitalZoomRatio).
    """
    try:
        tags = exif.get_ifd(_EXIF)
        millimetres = float(tags.get(_FOCAL, 0))
        zoom = float(tags.get(_ZOOM, 1) or 1)
        shot = float(tags.get(_WIDTH, width)), float(tags.get(_HEIGHT, height))
    except Exception:  # damaged metadata: the pixels are sound
        return None
    if not 1 <= millimetres <= 2000 or zoom > 1.01 or min(shot) <= 0:
        return None
    change = (max(shot) / min(shot)) / (max(width, height) / min(width, height))
    return millimetres if abs(change - 1) <= _SAME_SHAPE else None
