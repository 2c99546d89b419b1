"""Reading files: images, 16-bit PNG, arrays and MAT files, each with an error that names the file.

What a file is, and whether it is sound, is decided in `crosstask.media`: the readers here say what
a dataset's format promises (bits, channels, shapes) and hold the file against it.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosstask.data.sample import DataError
from crosstask.media.images import SUFFIXES, decode_map, image_facts, read_upright
from crosstask.media.listing import list_images
from crosstask.media.npy import read_npy
from crosstask.media.png import PngHeader, png_header
from crosstask.media.reading import read_bytes, read_text
from crosstask.media.value_range import ValueRange

__all__ = [
    "IMAGE_SUFFIXES",
    "PngHeader",
    "as_labels",
    "as_map",
    "image_size",
    "list_images",
    "png_header",
    "read_bytes",
    "read_ids",
    "read_image",
    "read_mat",
    "read_normals",
    "read_npy",
    "read_numbers",
    "read_png",
    "read_text",
]

IMAGE_SUFFIXES = SUFFIXES


def read_image(path: Path, value_range: ValueRange | None = None) -> Tensor:
    """A photograph, upright, as (3,H,W): uint8, or float32 in [0,1] where it is deeper.

    See `crosstask.media.images` for the rules.
    """
    return read_upright(path, value_range).pixels


def read_png(path: Path, bits: int, channels: tuple[int, ...] = (1,)) -> Tensor:
    """A PNG that holds data, exactly as stored: (C,H,W) uint8 or uint16.

    Args:
        path: File.
        bits: Bits a channel that the format promises; another depth is an error, because
            re-saved copies lose the low byte without a word.
        channels: Numbers of channels that the format allows.
    """
    data = read_bytes(path)
    header = png_header(path, data)
    if (header.bits > 8) != (bits > 8):
        raise DataError(
            f"{path} has {header.bits} bits a channel; expected {bits}. "
            "A re-saved copy has lost its values: take the original file"
        )
    if header.channels not in channels:
        raise DataError(
            f"{path} has {header.channels} channels; expected {' or '.join(map(str, channels))}"
        )
    return torch.from_numpy(decode_map(path, data))


def read_ids(path: Path) -> np.ndarray:
    """An 8-bit PNG of class ids as (H,W) uint8; palette files give their indices."""
    return read_png(path, bits=8)[0].numpy()


def read_normals(path: Path) -> Tensor:
    """Stored vectors (3,H,W): a float array (H,W,3), or 8-bit colours (PNG or array) with n = 2 p / 255 - 1.

    In colours, grey 127/128 means "none" and decodes to a vector of length 0.007: vectors shorter
    than 0.5 are no directions (`axes.to_camera_axes` drops them).

    Raises:
        DataError: another shape or type, or floats that are colours from 0 to 1.
    """
    if path.suffix.lower() == ".png":
        return _of_colours(read_png(path, bits=8, channels=(3, 4))[:3].contiguous())
    array = read_npy(path)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DataError(f"{path} has shape {array.shape}; expected (H, W, 3)")
    channels_first = np.ascontiguousarray(array.transpose(2, 0, 1))
    if array.dtype == np.uint8:
        return _of_colours(torch.from_numpy(channels_first))
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            f"{path} holds {array.dtype}; expected floats from -1 to 1, or uint8 with n = 2 p / 255 - 1"
        )
    vectors = torch.from_numpy(channels_first.astype(np.float32))
    if _looks_like_colours(vectors):
        raise DataError(
            f"{path} holds no negative number, and its vectors are not of length 1: colours from 0 to 1? "
            "Store 2 p - 1"
        )
    return vectors


def _of_colours(stored: Tensor) -> Tensor:
    return stored.to(torch.float32).mul_(2 / 255).sub_(1)


def _looks_like_colours(vectors: Tensor) -> bool:
    """Whether most vectors lie within the positive octant without being of length 1."""
    length = vectors.norm(dim=0)
    there = length > 0
    if not bool(there.any()) or float(vectors.min()) < 0:
        return False
    return float(((length[there] - 1).abs() > 0.05).float().mean()) > 0.5


def read_mat(path: Path) -> dict[str, Any]:
    """A MATLAB file before version 7.3, structures as objects with attributes."""
    from scipy.io import loadmat

    data = read_bytes(path)
    try:
        return loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises several unrelated types on damaged files
        raise DataError(f"{path} is not a readable .mat file ({error})") from error


def read_numbers(path: Path, count: int | None = None) -> list[float]:
    """All numbers of a text file, separated by blanks or commas; `count` of them where given."""
    lines = (line.split("#")[0] for line in read_text(path).split("\n"))
    words = " ".join(lines).replace(",", " ").replace(";", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{path} holds something that is not a number ({error})") from error
    if count is not None and len(numbers) != count:
        raise DataError(f"{path} holds {len(numbers)} numbers; expected {count}")
    return numbers


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is read (upright), from its header alone."""
    facts = image_facts(path)
    return facts.height, facts.width


def as_labels(array: np.ndarray) -> Tensor:
    """Class indices as a tensor (uint8 until the sample is finished)."""
    return torch.from_numpy(np.ascontiguousarray(array))


def as_map(array: np.ndarray) -> Tensor:
    """An (H,W) array as a (1,H,W) float32 map."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
