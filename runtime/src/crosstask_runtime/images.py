"""Images as (H,W,3): upright, RGB, transparency over white. By the rules of crosstask itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstask_runtime.camera import film_focal

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
ValueRange = tuple[float, float]


class ImageError(ValueError):
    """Not a usable image; names it."""


@dataclass(frozen=True)
class StoredImage:
    """Upright (H,W,3) pixels, uint8 or (deeper ones) float32 in [0,1], the EXIF orientation, 1 to 8, that
    they were turned by, and the focal length of the EXIF data, see `crosstask_runtime.camera`."""

    pixels: np.ndarray
    orientation: int = 1
    film_focal: float | None = None


def to_image(image: Any, value_range: ValueRange | None = None) -> StoredImage:
    """An image with what its EXIF data tell of the camera.

    Args:
        image: path, Pillow image, (H,W,3) uint8 array, or (3,H,W) float array in [0,1].
        value_range: stored values that are black and white, of files and Pillow images; None for
            the data type's range.

    Raises:
        ImageError: missing, damaged, another kind of array, or values that do not fit the range.
    """
    from PIL import Image  # here, so that importing the package stays quick

    if isinstance(image, str | Path):
        try:
            with Image.open(image) as opened:
                return _of_pillow(opened, value_range, str(image))
        except ImageError:
            raise
        except Exception as error:  # decoders raise whatever damage makes them stumble over
            raise ImageError(f"{image} cannot be read as an image: {error}") from error
    if isinstance(image, Image.Image):
        return _of_pillow(image, value_range, "the image")
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3:
        return StoredImage(array)
    if array.dtype.kind == "f" and array.ndim == 3 and array.shape[0] == 3:
        return StoredImage(array.astype(np.float32).transpose(1, 2, 0))
    raise ImageError(
        f"`image` is {array.dtype} {array.shape}; expected uint8 (H, W, 3) RGB or float (3, H, W) in "
        "[0, 1]"
    )


def _of_pillow(image: "Image.Image", value_range: ValueRange | None, name: str) -> StoredImage:
    from PIL import ImageOps

    if value_range is not None and _drops_bits(image):
        raise ImageError(
            f"{name} is {image.format} with more than 8 bits a colour channel, of which Pillow keeps 8, "
            f"and the model's `value_range` is {_told(value_range)}; give floats (3, H, W), 0 and 1 at "
            "the ends of that range, in its place"
        )
    exif = image.getexif()  # before decoding, which turns TIFF
    turned, focal = exif.get(_ORIENTATION, 1), film_focal(exif, *image.size)
    pixels = _pixels(ImageOps.exif_transpose(image), value_range, name)
    legal = isinstance(turned, int) and 1 <= turned <= 8
    return StoredImage(pixels, turned if legal else 1, focal)


def _drops_bits(image: "Image.Image") -> bool:
    """Whether Pillow will decode 16-bit colour to 8 bits without a word; False once it has."""
    from PIL import ImageFile

    if image.mode in DEEP or not isinstance(image, ImageFile.ImageFile):
        return False
    for tile in image.tile:  # how an image that is not decoded yet is stored
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if any(isinstance(a, str) and ";16" in a for a in arguments):
            return True
        if tile.codec_name == "ppm" and any(isinstance(a, int) and a > 255 for a in arguments):
            return True
    return False


def _pixels(image: "Image.Image", value_range: ValueRange | None, name: str) -> np.ndarray:
    from PIL import Image

    if image.mode in DEEP:
        grey = _scaled(np.asarray(image), value_range, name)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    array = np.array(image.convert("RGB"))
    return array if value_range is None else _scaled(array, value_range, name)


def _scaled(values: np.ndarray, declared: ValueRange | None, name: str) -> np.ndarray:
    """Stored values as float32 in [0,1]: low is 0, high is 1, what lies beyond is cut.

    Args:
        values: integers or floats.
        declared: the model's range, None for the data type's.
        name: of the file, for errors.

    Raises:
        ImageError: values that are not finite or beyond the type's range, or a declared range
            that the type cannot hold.
    """
    kind, natural = values.dtype, _type_range(values.dtype)
    ends = declared or natural
    if ends is None:
        raise ImageError(
            f"{name} holds {kind}, a type without a natural range, and the model has no `value_range`; "
            f"its values are {values.min()}..{values.max()}: save it with 8 or 16 bits a pixel"
        )
    integers = kind.kind in "iu"
    if declared and integers and natural and declared[1] > natural[1]:
        raise ImageError(
            f"{name} has {8 * kind.itemsize} bits a channel, values up to {natural[1]:g}, but the "
            f"model's `value_range` is {_told(declared)}; was the file saved again with fewer bits? Take "
            "the original"
        )
    if not integers and not np.isfinite(values).all():
        raise ImageError(f"{name} holds values that are not finite; expected numbers in each pixel")
    if not integers and declared is None and (values.min() < 0 or values.max() > 1):
        raise ImageError(
            f"{name} holds floats from {values.min():g} to {values.max():g}; expected 0 to 1: divide them "
            "by the value that is white, the same in all images"
        )
    low, high = ends
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0)


def _type_range(kind: np.dtype) -> ValueRange | None:
    """The range of a stored data type; None where it says nothing (32-bit integers)."""
    if kind.kind == "f":
        return 0.0, 1.0
    return (0.0, float(np.iinfo(kind).max)) if kind.itemsize <= 2 else None


def _told(ends: ValueRange) -> str:
    return f"{ends[0]:g}..{ends[1]:g}"


def as_bytes(image: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8."""
    if image.dtype == np.uint8:
        return image
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def as_floats(image: np.ndarray) -> np.ndarray:
    """(3,H,W) float32 in [0,1]."""
    floats = image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image
    return np.ascontiguousarray(floats.transpose(2, 0, 1))
