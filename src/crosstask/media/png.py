"""PNG, verified before a decoder sees it.

One flipped bit in a PNG can end the process inside libpng, and a decoder that skips checksums
turns it into wrong labels. Here every chunk's checksum is compared, the header must be a legal one
and not too large, and 16-bit colour, which Pillow drops to 8 bits without a word, is inflated
within the bounds that the header promises and handed to libpng with nothing left to go wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image

from crosstask.media.reading import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _COLOUR: 3, _PALETTE: 1, _GREY_ALPHA: 2, _COLOUR_ALPHA: 4}
_BITS = {
    _GREY: (1, 2, 4, 8, 16),
    _COLOUR: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _COLOUR_ALPHA: (8, 16),
}
# First row and column, and steps, of the seven passes of an interlaced file.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # fmt: skip


@dataclass(frozen=True)
class PngHeader:
    """Size, bits a channel, and channels of a PNG; `palette` where pixels index a colour table."""

    height: int
    width: int
    bits: int
    channels: int
    palette: bool
    interlaced: bool = False

    @property
    def rows(self) -> list[tuple[int, int]]:
        """(number of rows, bytes of one with its filter byte), for every pass."""
        pixel = self.bits * self.channels
        if not self.interlaced:
            return [(self.height, 1 + (self.width * pixel + 7) // 8)]
        sides = [
            (len(range(top, self.height, down)), len(range(left, self.width, right)))
            for top, left, down, right in _PASSES
        ]
        return [(h, 1 + (w * pixel + 7) // 8) for h, w in sides if h and w]


def png_header(path: Path, data: bytes) -> PngHeader:
    """Header of a PNG in memory.

    Raises:
        ImageError: no PNG, or a header that no PNG can have.
    """
    if not data.startswith(SIGNATURE):
        raise ImageError(f"{path} is not a PNG file (it begins with {data[:8]!r}); fetch it again")
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise ImageError(f"{path} is cut off or damaged: its PNG header is missing; fetch it again")
    width, height, bits, colour, packing, filters, interlace = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    legal = bits in _BITS.get(colour, ()) and (packing, filters) == (0, 0) and interlace < 2
    if not legal or not (0 < width < 2**31 and 0 < height < 2**31):
        raise ImageError(
            f"{path} is cut or damaged: its PNG header says {width}x{height}, {bits} bits, colour type "
            f"{colour}, which no PNG has; fetch it again"
        )
    channels = _CHANNELS[colour]
    return PngHeader(height, width, bits, channels, colour == _PALETTE, interlace == 1)


def verify(path: Path, data: bytes, most_pixels: int) -> PngHeader:
    """Holds every chunk against its checksum, and the size against a limit, before decoding.

    Cost: about one per cent of decoding.

    Raises:
        ImageError: cut off, damaged, or too large.
    """
    header = png_header(path, data)
    check_pixels(path, header.height, header.width, most_pixels)
    kinds = [kind for kind, _ in _chunks(path, data)]
    if b"IDAT" not in kinds or (header.palette and b"PLTE" not in kinds):
        lacks = "pixels (IDAT)" if b"IDAT" not in kinds else "colour table (PLTE)"
        raise ImageError(f"{path} is cut or damaged: it has no {lacks}; fetch it again")
    return header


def check_pixels(path: Path, height: int, width: int, most_pixels: int) -> None:
    """Raises `ImageError` for an image of more than `most_pixels`."""
    if height * width > most_pixels:
        raise ImageError(
            f"{path} has {width} x {height} pixels; shrink it below {most_pixels / 10**6:g} "
            "megapixels, or cut it into pieces"
        )


def _chunks(path: Path, data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each chunk up to IEND, checksums compared."""
    view, place = memoryview(data), len(SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(view[place : place + 4], "big")
        end = place + 8 + length
        kind = bytes(view[place + 4 : place + 8])
        if end + 4 > len(data):
            break
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError(
                f"{path} is cut or damaged: the checksum of its chunk {kind!r} at byte {place} does "
                "not fit; fetch it again"
            )
        yield kind, view[place + 8 : end]
        if kind == b"IEND":
            return
        place = end + 4
    raise ImageError(
        f"{path} is cut or damaged: it has {len(data)} bytes and is cut off at the chunk that begins "
        f"at byte {place}; fetch it again"
    )


def decode_deep(path: Path, data: bytes, header: PngHeader) -> np.ndarray:
    """(C,H,W) uint16 of a verified PNG of 16 bits.

    The pixels are inflated once, here, and libpng gets them uncompressed, without any other chunk.

    Raises:
        ImageError: pixels that do not inflate, or to another length than the header promises.
    """
    pixels = zlib.compress(_inflated(path, data, header), 0)
    plain = b"".join([SIGNATURE, data[8:33], _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")])
    stored = torch.frombuffer(bytearray(plain), dtype=torch.uint8)
    return decode_image(stored, mode=ImageReadMode.UNCHANGED).numpy()


def _inflated(path: Path, data: bytes, header: PngHeader) -> bytes:
    expected = sum(number * length for number, length in header.rows)
    packed = b"".join(content for kind, content in _chunks(path, data) if kind == b"IDAT")
    stream = zlib.decompressobj()
    try:
        rows = stream.decompress(packed, expected + 1)
    except zlib.error as error:
        raise ImageError(
            f"{path} is cut or damaged: its pixels do not inflate ({error})"
        ) from error
    if len(rows) != expected:
        more = "more" if len(rows) > expected else f"{len(rows)}"
        raise ImageError(
            f"{path} is cut or damaged: its header promises {expected} bytes of pixels, and {more} "
            "are there; fetch it again"
        )
    filters, start = np.frombuffer(rows, dtype=np.uint8), 0
    for number, length in header.rows:
        if filters[start : start + number * length : length].max() > 4:
            raise ImageError(
                f"{path} is cut or damaged: a row has an unknown filter; fetch it again"
            )
        start += number * length
    return rows


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def texts(path: Path, data: bytes) -> dict[str, str]:
    """Uncompressed texts of a PNG by keyword."""
    found = [
        bytes(content).partition(b"\0") for kind, content in _chunks(path, data) if kind == b"tEXt"
    ]
    return {key.decode("latin-1"): text.decode("latin-1") for key, _, text in found}


def find_exif(file: BufferedIOBase) -> bytes | None:
    """The content of a PNG's eXIf chunk, wherever it lies, reading nothing but chunk heads."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return file.read(min(length, 2**20))
        if kind == b"IEND":
            return None
        file.seek(length + 4, 1)
    return None
