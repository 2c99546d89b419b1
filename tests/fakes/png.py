"""PNG and JPEG files with true bit depths: 8 or 16 bits, one to four channels."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def write_png(path: Path, array: np.ndarray) -> None:
    """(H,W) or (H,W,C), uint8 or uint16, exactly as given."""
    array = array[..., None] if array.ndim == 2 else array
    height, width, channels = array.shape
    bits = {np.dtype("uint8"): 8, np.dtype("uint16"): 16}[array.dtype]
    rows = array.astype(array.dtype.newbyteorder(">")).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPE[channels], 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks)))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_palette_png(path: Path, indices: np.ndarray) -> None:
    """8-bit indices with a colour table, as PASCAL VOC's masks."""
    image = Image.fromarray(indices, mode="P")
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_jpeg(path: Path, array: np.ndarray) -> None:
    """(H,W,3) uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, quality=95)


def write_npy(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
