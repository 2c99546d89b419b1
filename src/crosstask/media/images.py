"""Reading photographs: any size, with clear errors."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif")
MOST_PIXELS = 100_000_000


class ImageError(ValueError):
    """A file is no usable image; names it."""


def read_image(path: Path | str, most_pixels: int = MOST_PIXELS) -> Tensor:
    """A photograph as (3,H,W) float32 RGB in [0,1], upright (EXIF), first frame, no alpha.

    Args:
        most_pixels: an image with more is refused before it is decoded.

    Raises:
        ImageError: missing, empty, cut, too large, or no image.
    """
    file = Path(path)
    if not file.is_file():
        raise ImageError(f"there is no file {file}")
    if file.stat().st_size == 0:
        raise ImageError(f"{file} is empty (zero bytes)")
    try:
        with Image.open(file) as image:
            if image.width * image.height > most_pixels:
                raise ImageError(
                    f"{file} has {image.width} x {image.height} pixels; shrink it below "
                    f"{most_pixels / 10**6:g} megapixels"
                )
            return from_pil(image)
    except UnidentifiedImageError:
        raise ImageError(f"{file} is no image that can be read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{file} is too large ({error}); shrink it, or cut it into pieces"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{file} is cut or damaged: {error}") from error


def from_pil(image: Image.Image) -> Tensor:
    """(3,H,W) float32 RGB in [0,1] from any Pillow image (CMYK, 16-bit, palette, alpha)."""
    image.load()
    image = ImageOps.exif_transpose(image) or image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if values.max() > 255 else 255.0
        grey = torch.from_numpy(np.clip(values / top, 0.0, 1.0))
        return grey[None].expand(3, -1, -1).contiguous()
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255.0


def find_images(inputs: Iterable[Path | str]) -> list[Path]:
    """Files and the images of folders, in order of name.

    Raises:
        ImageError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for entry in map(Path, inputs):
        if entry.is_dir():
            files = sorted(p for p in entry.iterdir() if p.suffix.lower() in SUFFIXES)
            if not files:
                raise ImageError(f"the folder {entry} holds no images ({', '.join(SUFFIXES)})")
            found += files
        elif entry.exists():
            found.append(entry)
        else:
            raise ImageError(f"there is no file or folder {entry}")
    return found
