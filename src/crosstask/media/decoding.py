"""Opening image files with Pillow: of known formats, below a limit of pixels, with one kind of error.

Pillow's decoders raise where damage makes them stumble; of PNG, see also `crosstask.media.png`.
"""

import io
from pathlib import Path
from typing import IO, cast

from PIL import Image, UnidentifiedImageError

from crosstask.media import png
from crosstask.media.reading import DataError, ImageError, read_bytes

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
    ".pnm", ".gif",
)  # fmt: skip
MOST_PIXELS = 100_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF")  # others run odd decoders
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_BITS_PER_SAMPLE = 258


def image_bytes(path: Path) -> bytes:
    """`read_bytes`, with the error of an image."""
    try:
        return read_bytes(path)
    except DataError as error:
        raise ImageError(str(error)) from None


def open_image(path: Path, file: io.BufferedIOBase) -> Image.Image:
    """A Pillow image of which the header has been read.

    Raises:
        ImageError: of none of the formats, or beyond Pillow's own limit.
    """
    try:
        return Image.open(cast(IO[bytes], file), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            f"{path} is not an image that can be read (it is cut, damaged, or of another format); "
            f"expected one of {', '.join(SUFFIXES)}; convert it, or fetch it again"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} is too large ({error}); shrink it, or cut it into pieces"
        ) from None


def decode(path: Path, data: bytes, most_pixels: int) -> Image.Image:
    """A loaded Pillow image of these (for a PNG: verified) bytes."""
    try:
        image = open_image(path, io.BytesIO(data))
        png.check_pixels(path, image.height, image.width, most_pixels)
        if _drops_bits(image):
            raise ImageError(
                f"{path} is {image.format} with more than 8 bits a colour channel, which would be lost; "
                "convert it to 16-bit PNG"
            )
        image.load()
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever damage makes them stumble over
        raise damaged(str(path), error) from error
    return image


def _drops_bits(image: Image.Image) -> bool:
    """Whether Pillow would read 16-bit colour as 8 bits without a word."""
    if image.mode in DEEP:
        return False
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    # Pillow sets `tile` on images that it has not decoded yet.
    if image.format == "PPM" and (tiles := getattr(image, "tile", None)):
        arguments = tiles[0].args
        return isinstance(arguments, tuple) and any(
            isinstance(a, int) and a > 255 for a in arguments
        )
    return False


def damaged(name: str, error: Exception) -> ImageError:
    """The error for whatever a decoder raised."""
    reason = f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)
    return ImageError(f"{name} is cut or damaged ({reason}); fetch it again")
