"""Reading files: images, 16-bit PNG, arrays and MAT files, each with an error that names the file.

PNG is read by torchvision, which keeps 16 bits a channel (Pillow silently drops 16-bit colour to
8 bits), and the bit depth in the file's header is compared with what the format promises.
"""

import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from crosstask.data.sample import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3


@dataclass(frozen=True)
class PngHeader:
    """Size, bits a channel, and channels of a PNG; `palette` where pixels index a colour table."""

    height: int
    width: int
    bits: int
    channels: int
    palette: bool


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that a frame of the index needs.

    Raises:
        DataError: The file is missing or empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing, and the index lists its frame; restore the file"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes); fetch it again")
    return data


def png_header(path: Path, data: bytes) -> PngHeader:
    """Header of a PNG in memory."""
    if not data.startswith(_PNG_SIGNATURE) or len(data) < 33:
        raise DataError(f"{path} is no PNG file (or is cut off); fetch it again")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    if colour not in _PNG_CHANNELS:
        raise DataError(f"{path} has PNG colour type {colour}; the file is damaged")
    return PngHeader(height, width, bits, _PNG_CHANNELS[colour], colour == _PALETTE)


def _decode(path: Path, data: bytes, mode: ImageReadMode) -> Tensor:
    try:
        return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=mode)
    except RuntimeError as error:
        reason = re.sub(r"^.*\.cpp:\d+, ", "", str(error)).strip().rstrip(".")
        raise DataError(
            f"{path} cannot be decoded ({reason}); it is cut off or no image: fetch it again"
        ) from error


def read_image(path: Path) -> Tensor:
    """An RGB image, PNG or JPEG, as (3,H,W) uint8. A 16-bit PNG is scaled to 8 bits."""
    data = read_bytes(path)
    if data.startswith(_PNG_SIGNATURE) and png_header(path, data).bits == 16:
        wide = _decode(path, data, ImageReadMode.RGB)
        return (wide.to(torch.int32) >> 8).to(torch.uint8) if wide.dtype == torch.uint16 else wide
    return _decode(path, data, ImageReadMode.RGB)


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
    if header.palette or header.bits < 8:
        return _palette_indices(path, data)
    return _decode(path, data, ImageReadMode.UNCHANGED)


def read_ids(path: Path) -> np.ndarray:
    """An 8-bit PNG of class ids as (H,W) uint8; palette files give their indices."""
    return read_png(path, bits=8)[0].numpy()


def _palette_indices(path: Path, data: bytes) -> Tensor:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return torch.from_numpy(np.array(image).astype(np.uint8))[None]
    except OSError as error:
        raise DataError(
            f"{path} cannot be decoded ({error}); it is cut off: fetch it again"
        ) from error


def read_npy(path: Path) -> np.ndarray:
    """A NumPy array file."""
    try:
        return np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no .npy array ({error}); fetch it again") from error


def read_normals(path: Path) -> Tensor:
    """Stored vectors (3,H,W): a float array (H,W,3), or 8-bit colours with n = 2 p / 255 - 1.

    In colours, grey 127/128 means "none" and decodes to a vector of length 0.007: vectors shorter
    than 0.5 are no directions (`axes.to_camera_axes` drops them).
    """
    if path.suffix == ".png":
        stored = read_png(path, bits=8, channels=(3, 4))[:3].contiguous()
        return stored.to(torch.float32).mul_(2 / 255).sub_(1)
    array = read_npy(path)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise DataError(f"{path} has shape {array.shape}; expected (H, W, 3)")
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))


def read_mat(path: Path) -> dict[str, Any]:
    """A MATLAB file before version 7.3, structures as objects with attributes."""
    from scipy.io import loadmat

    data = read_bytes(path)
    try:
        return loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises several unrelated types on damaged files
        raise DataError(f"{path} is no readable .mat file ({error})") from error


def read_text(path: Path) -> str:
    """A UTF-8 text file."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file ({error})") from error


def read_numbers(path: Path, count: int | None = None) -> list[float]:
    """All numbers of a text file, separated by blanks or commas; `count` of them where given."""
    words = read_text(path).replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{path} holds something that is no number ({error})") from error
    if count is not None and len(numbers) != count:
        raise DataError(f"{path} holds {len(numbers)} numbers; expected {count}")
    return numbers


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, from its header alone."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise DataError(f"{path} cannot be opened as an image ({error})") from error


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Images directly in a folder, sorted by name; other files are passed over."""
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".")
    )


def as_labels(array: np.ndarray) -> Tensor:
    """Class indices as a tensor (uint8 until the sample is finished)."""
    return torch.from_numpy(np.ascontiguousarray(array))
