"""The focal length of EXIF data, and when it is not the image's."""

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
