"""Images as (H,W,3): upright, RGB, transparency over white. By the rules of crosstask itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstask_runtime.camera import film_focal

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112
DEEP = ("I;16", "I;16B", "I;16L", "I", "F")


class ImageError(ValueError):
    """Not a usable image; names it."""


@dataclass(frozen=True)
class StoredImage:
    """Upright (H,W,3) pixels, uint8 or (deeper ones) float32 in [0,1], the EXIF orientation, 1 to 8, that
    they were turned by, and the focal length of the EXIF data, see `crosstask_runtime.camera`."""

    pixels: np.ndarray
    orientation: int = 1
    film_focal: float | None = None


def to_image(image: Any, value_range: tuple[float, float] | None = None) -> StoredImage:
    """An image with what its EXIF data tell of the camera.

    Args:
        image: path, Pillow image, (H,W,3) uint8 array, or (3,H,W) float array in [0,1].
        value_range: stored values that are black and white, of files and Pillow images; None for
            the data type's range.

    Raises:
        ImageError: missing, damaged, or another kind of array.
    """
    from PIL import Image  # here, so that importing the package stays quick

    if isinstance(image, str | Path):
        try:
            with Image.open(image) as opened:
                return _of_pillow(opened, value_range)
        except Exception as error:  # decoders raise whatever damage makes them stumble over
            raise ImageError(f"{image} cannot be read as an image: {error}") from error
    if isinstance(image, Image.Image):
        return _of_pillow(image, value_range)
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3:
        return StoredImage(array)
    if array.dtype.kind == "f" and array.ndim == 3 and array.shape[0] == 3:
        return StoredImage(array.astype(np.float32).transpose(1, 2, 0))
    raise ImageError(
        f"`image` is {array.dtype} {array.shape}; expected uint8 (H, W, 3) RGB or float (3, H, W) in "
        "[0, 1]"
    )


def _of_pillow(image: "Image.Image", value_range: tuple[float, float] | None) -> StoredImage:
    from PIL import ImageOps

    exif = image.getexif()  # before decoding, which turns TIFF
    turned, focal = exif.get(_ORIENTATION, 1), film_focal(exif, *image.size)
    pixels = _pixels(ImageOps.exif_transpose(image), value_range)
    legal = isinstance(turned, int) and 1 <= turned <= 8
    return StoredImage(pixels, turned if legal else 1, focal)


def _pixels(image: "Image.Image", value_range: tuple[float, float] | None) -> np.ndarray:
    from PIL import Image

    if image.mode in DEEP:
        values = np.asarray(image).astype(np.float32)
        grey = _scaled(values, value_range or (0.0, 1.0 if image.mode == "F" else 65535.0))
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    array = np.array(image.convert("RGB"))
    return array if value_range is None else _scaled(array.astype(np.float32), value_range)


def _scaled(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    low, high = ends
    return np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8."""
    if image.dtype == np.uint8:
        return image
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def as_floats(image: np.ndarray) -> np.ndarray:
    """(3,H,W) float32 in [0,1]."""
    floats = image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image
    return np.ascontiguousarray(floats.transpose(2, 0, 1))
