"""The camera of an image to predict: what was given, else what its EXIF data tell."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask import geometry
from crosstask.geometry.camera import NORMALISED, check_camera
from crosstask.geometry.camera_files import CameraFile
from crosstask.geometry.focal import focal_of_film, focal_of_view
from crosstask.media.images import StoredImage
from crosstask.media.orientation import stored_size


@dataclass(frozen=True)
class KnownCamera:
    """A camera, or None, and where its focal length is from, in words."""

    matrix: Float[Tensor, "3 3"] | None = None
    source: str = ""


def check_focal(intrinsics: object, fx: float | None, fov: float | None) -> None:
    """Holds what was given against itself.

    Raises:
        ValueError: several ways at once, no number, no focal length, or no field of view.
    """
    ways = {"intrinsics": intrinsics, "fx": fx, "fov": fov}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"`{given[0]}` and `{given[1]}` are given; give one of them")
    for name, value in (("fx", fx), ("fov", fov)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"`{name}` is {value!r}; expected a number")
    if fx is not None and not (math.isfinite(fx) and fx > 0):
        raise ValueError(f"`fx` is {fx}; expected a focal length in pixels, above 0")
    if fx is not None and fx < NORMALISED:
        raise ValueError(
            f"`fx` is {fx:g}: it looks divided by the size of the image; expected a focal length in "
            f"pixels, {NORMALISED:g} or more: multiply it by the width"
        )
    if fov is not None:
        focal_of_view(fov, 1)


def camera_of_image(
    image: StoredImage,
    intrinsics: Tensor | CameraFile | None = None,
    fx: float | None = None,
    fov: float | None = None,
    exif: bool = True,
) -> KnownCamera:
    """The camera in pixels of the upright image.

    Args:
        intrinsics: (3,3) in pixels of the image as stored; turned upright as the image was. A file
            that names the size of its images is scaled to this one.
        fx: focal length in pixels.
        fov: degrees across the image as stored.
        exif: take the focal length of the EXIF data where nothing is given.

    Raises:
        ValueError: see `check_focal`; a camera file of other images, or of a fisheye.
    """
    check_focal(intrinsics, fx, fov)
    height, width = image.size
    if isinstance(intrinsics, CameraFile):
        intrinsics = intrinsics.for_image(stored_size((height, width), image.orientation))
    if intrinsics is not None:
        return KnownCamera(_turned(intrinsics, image), "intrinsics")
    source = "fx"
    if fov is not None:
        stored = stored_size((height, width), image.orientation)
        fx, source = focal_of_view(fov, stored[1]), f"a field of view of {fov:g} degrees"
    elif fx is None and exif and image.film_focal is not None:
        fx = focal_of_film(image.film_focal, height, width)
        source = f"EXIF ({image.film_focal:g} mm on 35 mm film)"
    return KnownCamera() if fx is None else KnownCamera(centred(fx, height, width), source)


def centred(fx: float, height: int, width: int) -> Float[Tensor, "3 3"]:
    """A camera with square pixels and the principal point in the middle."""
    return torch.tensor([[fx, 0.0, (width - 1) / 2], [0.0, fx, (height - 1) / 2], [0.0, 0.0, 1.0]])


def checked(matrix: Tensor, height: int, width: int) -> Tensor:
    """A matrix that can be the camera of an image of this size, as float32."""
    check_camera(matrix.float(), "`intrinsics`", (height, width))
    return matrix.float()


def _turned(intrinsics: Tensor, image: StoredImage) -> Tensor:
    if tuple(intrinsics.shape) != (3, 3):
        return intrinsics  # a wrong shape is named where it is used
    height, width = image.pixels.shape[-2:]
    stored = stored_size((height, width), image.orientation)
    check_camera(
        intrinsics.float(), "`intrinsics`", stored
    )  # as given: turned, advice would not fit
    return geometry.turn_intrinsics(intrinsics.float(), image.orientation, *stored)


def one_focal_for_sizes(
    name: str, size: tuple[int, int], before: tuple[int, int], given: str = "fx"
) -> str:
    """What to say where one focal length in pixels is given for images of several sizes.

    Args:
        size, before: upright (height, width) of the image called `name`, and of those before it.
        given: what the focal length was given as.
    """
    return (
        f"{name} has {size[1]} x {size[0]} pixels, images before it {before[1]} x {before[0]}, and "
        f"`{given}` is in pixels: it cannot fit both. Give `fov` (degrees), or predict each size by itself"
    )
