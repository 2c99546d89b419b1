"""The one reader of images: photographs, and maps of integers or floats.

Training, `data check`, prediction, the web page and video read photographs by these rules:
* EXIF orientation is obeyed. Cameras are given in pixels of the image as stored, as the sensor
  lies; `geometry.turn_intrinsics` turns them along.
* Transparency (RGBA, grey with alpha, a palette with a transparent colour) is laid over white.
* Grey becomes three equal channels; CMYK becomes RGB; of an animation the first frame counts.
* 16-bit grey keeps its depth (float32); what is black and white is the dataset's
  `value_range`, see `crosstask.media.value_range`. 16-bit colour gives its high bytes under
  `auto`, its full depth under a declared range.
Maps (labels, depth) come exactly as stored, and are never turned.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor

from crosstask.media import png, tiff
from crosstask.media.decoding import (
    DEEP,
    MOST_PIXELS,
    damaged,
    decode,
    image_bytes,
    open_image,
)
from crosstask.media.decoding import (
    SUFFIXES as SUFFIXES,
)
from crosstask.media.exif import film_focal
from crosstask.media.orientation import ORIENTATION_TAG, stored_size, upright
from crosstask.media.reading import DataError, as_path, check_file
from crosstask.media.reading import ImageError as ImageError
from crosstask.media.value_range import ValueRange, scale

_GREY = ("1", "L", "LA", "La", *DEEP)
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass(frozen=True)
class StoredImage:
    """A photograph: (3,H,W) upright pixels, uint8 or (deeper ones) float32 in [0,1], the EXIF
    orientation, 1 to 8, that it was turned by, and its focal length, see `crosstask.media.exif`.
    Images of other channels have as many. Where the pixels were shrunk since, `whole` is the upright
    height and width before, which focal lengths in pixels are of."""

    pixels: Shaped[Tensor, "c h w"]
    orientation: int
    film_focal: float | None = None
    whole: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Upright height and width of the image that its camera took."""
        height, width = self.pixels.shape[-2:]
        return self.whole or (height, width)


@dataclass(frozen=True)
class ImageFacts:
    """What an image's header says: size as it is to be seen, orientation, whether it is grey."""

    height: int
    width: int
    orientation: int
    grey: bool


def read_image(
    path: Path | str, most_pixels: int = MOST_PIXELS, value_range: ValueRange | None = None
) -> Float[Tensor, "3 h w"]:
    """A photograph as float32 RGB in [0,1], upright; see `read_upright`."""
    return as_float(read_upright(path, value_range, most_pixels).pixels)


def as_float(pixels: Shaped[Tensor, "*c h w"]) -> Float[Tensor, "*c h w"]:
    """Bytes as float32 in [0,1]; floats as they are."""
    return pixels.float() / 255.0 if pixels.dtype == torch.uint8 else pixels


def visible(image: Shaped[Tensor, "*b c h w"]) -> Shaped[Tensor, "*b 3 h w"]:
    """An image as it is shown: its first three channels, or its first as grey."""
    if image.shape[-3] >= 3:
        return image[..., :3, :, :]
    return image[..., :1, :, :].expand(*image.shape[:-3], 3, *image.shape[-2:])


def read_upright(
    path: Path | str, value_range: ValueRange | None = None, most_pixels: int = MOST_PIXELS
) -> StoredImage:
    """A photograph by the rules of this module.

    Args:
        value_range: stored values that are black and white; None for the data type's range.
        most_pixels: an image with more is refused before it is decoded.

    Raises:
        ImageError: missing, no regular file, empty, cut, damaged, too large, no image, or values
            that do not fit the range.
    """
    file = as_path(path)
    data = image_bytes(file)
    if data.startswith(png.SIGNATURE):
        header = png.verify(file, data, most_pixels)
        if header.bits == 16 and header.channels > 1:
            deep = png.decode_deep(file, data, header)
            exif = png.find_exif(io.BytesIO(data))
            turned = _exif_orientation(exif)
            focal = film_focal(_parsed_exif(exif), header.width, header.height)
            return StoredImage(
                upright(_deep_colour(deep, value_range, file), turned), turned, focal
            )
    data, turned = tiff.take_orientation(data) if tiff.is_tiff(data) else (data, 1)
    found = from_pil(decode(file, data, most_pixels), value_range, str(file))
    return StoredImage(
        upright(found.pixels, turned), max(turned, found.orientation), found.film_focal
    )


def from_pil(
    image: Image.Image, value_range: ValueRange | None = None, name: str = "the image"
) -> StoredImage:
    """A Pillow image by the rules of this module."""
    try:
        exif = image.getexif()
        turned, focal = _legal(exif.get(ORIENTATION_TAG, 1)), film_focal(exif, *image.size)
        image.load()  # turns TIFF, and takes its tag out
        left = _orientation(image)
        pixels = _pixels(image, value_range, name)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(name, error) from error
    return StoredImage(upright(pixels, left), turned, focal)


def _pixels(image: Image.Image, value_range: ValueRange | None, name: str) -> Tensor:
    if image.mode in DEEP:
        return scale(np.asarray(image), value_range, name)[None].expand(3, -1, -1).contiguous()
    if image.mode in _ALPHA or "transparency" in image.info:
        image = _over_white(image.convert("RGBA"))
    array = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if value_range is None:
        return torch.from_numpy(array).permute(2, 0, 1)
    return scale(array.transpose(2, 0, 1), value_range, name)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _deep_colour(deep: np.ndarray, value_range: ValueRange | None, path: Path) -> Tensor:
    """(3,H,W) of 16-bit grey with alpha (2,H,W), RGB or RGBA."""
    grey, alpha = len(deep) == 2, len(deep) in (2, 4)
    if value_range is None and not grey:
        high = (deep >> 8).astype(np.uint8).transpose(1, 2, 0)
        image = _over_white(Image.fromarray(high, "RGBA")) if alpha else high
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
    pixels = scale(deep[:-1] if alpha else deep, value_range, str(path))
    if alpha:
        share = torch.from_numpy(deep[-1:].astype(np.float32) / 65535)
        pixels = pixels * share + (1 - share)
    return pixels.expand(3, -1, -1).contiguous()


# Maps -----------------------------------------------------------------------------------------


def read_map(path: Path | str, most_pixels: int = MOST_PIXELS) -> Shaped[np.ndarray, "c h w"]:
    """An image file that holds data, exactly as stored: uint8, uint16, int32 or float32.

    A palette gives its indices, fewer than 8 bits their values; nothing is turned or scaled.

    Raises:
        ImageError: as `read_upright`.
    """
    file = as_path(path)
    return decode_map(file, image_bytes(file), most_pixels)


def decode_map(
    path: Path, data: bytes, most_pixels: int = MOST_PIXELS
) -> Shaped[np.ndarray, "c h w"]:
    """`read_map` of the bytes of a file that have been read."""
    stretched = 1
    if data.startswith(png.SIGNATURE):
        header = png.verify(path, data, most_pixels)
        if header.bits == 16 and header.channels > 1:
            return png.decode_deep(path, data, header)
        if header.bits in (2, 4) and not header.palette:  # Pillow makes 0..255 of them
            stretched = 255 // (2**header.bits - 1)
    data = tiff.take_orientation(data)[0] if tiff.is_tiff(data) else data
    image = decode(path, data, most_pixels)
    try:
        array = np.array(image)
    except Exception as error:
        raise damaged(str(path), error) from error
    array = array.astype(np.uint8) if array.dtype == bool else array
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    array = array // stretched if stretched > 1 else array
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def read_palette(path: Path | str) -> Shaped[np.ndarray, "256 3"] | None:
    """The colour table that the values of `read_map` index; None where the file has none.

    Raises:
        ImageError: missing, or no image.
    """
    file = as_path(path)
    with io.BytesIO(image_bytes(file)) as opened, open_image(file, opened) as image:
        if image.mode not in ("P", "PA"):
            return None
        colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return np.concatenate([colors, np.zeros((256 - len(colors), 3), np.uint8)])


# Headers --------------------------------------------------------------------------------------


def image_facts(path: Path | str) -> ImageFacts:
    """Size and orientation of an image, from its header alone.

    Raises:
        ImageError: missing, no regular file, empty, or no image.
    """
    file = as_path(path)
    try:
        check_file(file)
        with file.open("rb") as opened, open_image(file, opened) as image:
            size, mode = (image.height, image.width), image.mode
            if image.format == "PNG":
                turned = _exif_orientation(png.find_exif(opened))
            else:
                turned = _orientation(image)
            if image.format == "TIFF":  # Pillow has exchanged the sides already
                size = stored_size(size, turned)
    except (ImageError, DataError) as error:
        raise ImageError(str(error)) from error
    except Exception as error:
        raise damaged(str(file), error) from error
    return ImageFacts(*stored_size(size, turned), turned, mode in _GREY)


def _orientation(image: Image.Image) -> int:
    return _legal(image.getexif().get(ORIENTATION_TAG, 1))


def _parsed_exif(exif: bytes | None) -> Image.Exif:
    parsed = Image.Exif()
    try:
        parsed.load(exif or b"")
    except Exception:  # damaged metadata: the pixels are sound
        return Image.Exif()
    return parsed


def _exif_orientation(exif: bytes | None) -> int:
    return _legal(_parsed_exif(exif).get(ORIENTATION_TAG, 1))


def _legal(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
