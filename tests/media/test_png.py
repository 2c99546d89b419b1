"""No damaged PNG reaches a decoder: a named error or the right pixels."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosstask.media.images import ImageError, read_map, read_upright
from crosstask.media.png import SIGNATURE
from fakes.png import write_palette_png, write_png


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def forged(rows: bytes, bits: int = 16, colour: int = 2, size: tuple[int, int] = (4, 3)) -> bytes:
    """A PNG whose checksums are right, whatever it holds: (width, height), packed rows."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_flipped_bit_is_found(channels: int, dtype: type, tmp_path: Path) -> None:
    random = np.random.default_rng(channels)
    stored = random.integers(0, np.iinfo(dtype).max, (5, 7, channels)).astype(dtype)
    path = tmp_path / "a.png"
    write_png(path, stored)
    sound = path.read_bytes()
    assert np.array_equal(read_map(path).transpose(1, 2, 0), stored)
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        for reader in (read_map, read_upright):
            with pytest.raises(ImageError) as caught:
                reader(path)
            assert str(path) in str(caught.value)


@pytest.mark.parametrize("keep", [1, 8, 20, 33, 40, 57, 80, -12, -5])
def test_a_cut_file_is_named(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, np.arange(105, dtype=np.uint16).reshape(5, 7, 3))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r"a\.png.*(cut|damaged|no image)"):
        read_map(path)


ROWS = b"".join(b"\0" + bytes(range(24)) for _ in range(3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (forged(ROWS[:-1]), "promises 75 bytes of pixels, and 74"),
        (forged(ROWS + b"\0"), "promises 75 bytes of pixels, and more"),
        (forged(b"\x07" + ROWS[1:]), "unknown filter"),
        (forged(ROWS, size=(0, 3)), "0x3"),
        (forged(ROWS, bits=4), "4 bits, colour type 2, which no PNG has"),
        (forged(ROWS, bits=8, colour=3), r"no colour table \(PLTE\)"),
        (forged(b"\0" * 100, bits=1, colour=0, size=(20000, 20000)), "shrink it below 100 megapixels"),
        (forged(ROWS, bits=8)[:-12], "cut off"),
        (forged(b"", bits=8), "cut or damaged"),
        (forged(ROWS)[:33] + chunk(b"IEND", b""), r"no pixels \(IDAT\)"),
    ],
)  # fmt: skip
def test_right_checksums_are_not_enough(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for reader in (read_map, read_upright):
        with pytest.raises(ImageError, match=words) as caught:
            reader(path)
        assert str(path) in str(caught.value)


def test_all_sixteen_bits_survive(tmp_path: Path) -> None:
    stored = np.array([[[3, 200, 0], [65535, 1, 256]]], dtype=np.uint16)
    write_png(tmp_path / "a.png", stored)
    assert read_map(tmp_path / "a.png")[:, 0].T.tolist() == stored[0].tolist()


def test_interlaced_sixteen_bits(tmp_path: Path) -> None:
    """Adam7 of 3 x 3 by hand: passes 1, 4, 5, 6, 7 hold (0,0); (0,2); (2,0) (2,2); columns 1; row 1."""
    values = np.arange(27, dtype=np.uint16).reshape(3, 3, 3) * 1000
    rows = [values[0, :1], values[0, 2:], values[2, ::2], values[0, 1:2], values[2, 1:2], values[1]]
    packed = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 3, 3, 16, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    (tmp_path / "a.png").write_bytes(SIGNATURE + b"".join(chunk(*each) for each in chunks))
    assert np.array_equal(read_map(tmp_path / "a.png").transpose(1, 2, 0), values)


def test_indices_and_few_bits_are_values(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2, 3]], dtype=np.uint8)
    write_palette_png(tmp_path / "palette.png", indices)
    assert read_map(tmp_path / "palette.png")[0].tolist() == [[0, 1, 2, 3]]
    for bits, byte in ((4, b"\x01\x23"), (2, b"\x1b")):
        (tmp_path / "few.png").write_bytes(forged(b"\0" + byte, bits, 0, (4, 1)))
        assert read_map(tmp_path / "few.png")[0].tolist() == [[0, 1, 2, 3]]
    Image.fromarray(indices > 1).save(tmp_path / "one.png")
    assert read_map(tmp_path / "one.png")[0].tolist() == [[0, 0, 1, 1]]
