"""The focal length of EXIF data, and when it is not the image's."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from crosstask.media.images import read_upright

WIDTH, HEIGHT, ZOOM, FILM = 0xA002, 0xA003, 0xA404, 0xA405


def photo(file: Path, size: tuple[int, int] = (80, 60), turned: int = 1, **tags: float) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turned
    numbers = {"width": WIDTH, "height": HEIGHT, "zoom": ZOOM, "film": FILM}
    exif.get_ifd(0x8769).update({numbers[name]: value for name, value in tags.items()})
    Image.new("RGB", size, (90, 120, 150)).save(file, exif=exif)
    return file


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_it_is_read_of_every_container(tmp_path: Path, ending: str) -> None:
    file = photo(tmp_path / f"a.{ending}", film=26, width=4000, height=3000, turned=6)
    found = read_upright(file)
    assert found.film_focal == 26.0 and found.orientation == 6


def test_it_is_read_of_a_png_of_16_bits_a_colour(tmp_path: Path) -> None:
    plain = photo(tmp_path / "plain.png", film=26).read_bytes()
    start = plain.index(b"eXIf") - 4
    chunk = plain[start : start + 12 + int.from_bytes(plain[start : start + 4], "big")]
    rows = zlib.compress((b"\0" + bytes(6 * 80)) * 60)
    head = struct.pack(">IIBBBBB", 80, 60, 16, 2, 0, 0, 0)
    parts = [piece(b"IHDR", head), chunk, piece(b"IDAT", rows), piece(b"IEND", b"")]
    file = tmp_path / "deep.png"
    file.write_bytes(plain[:8] + b"".join(parts))
    found = read_upright(file)
    assert found.film_focal == 26.0


def piece(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"film": 0},
        {"film": 26, "zoom": 2.0},  # by the camera, after the lens
        {"film": 26, "width": 4000, "height": 2250},  # 16:9 once, cut to 4:3
    ],
)
def test_it_is_left_alone_where_it_is_not_the_images(tmp_path: Path, tags: dict) -> None:  # type: ignore[type-arg]
    assert read_upright(photo(tmp_path / "a.jpg", **tags)).film_focal is None
