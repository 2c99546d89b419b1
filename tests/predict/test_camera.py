"""Where the camera of an image to predict comes from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crosstask_runtime.camera import focal_of_image
from crosstask_runtime.images import to_image as to_runtime_image
from PIL import Image

from crosstask.geometry.camera import CameraError
from crosstask.geometry.camera_files import CameraFile
from crosstask.media.images import StoredImage
from crosstask.predict.camera import camera_of_image, check_focal
from crosstask.predict.images import to_image
from crosstask.predict.streams import Settings, SizeCheck
from crosstask.tasks.camera import focal_lengths

PIXELS = torch.zeros(3, 30, 40)
PHONE = StoredImage(PIXELS, 1, film_focal=43.2666)


def test_what_is_given_comes_before_the_image() -> None:
    given = camera_of_image(PHONE, fx=50.0)
    assert given.matrix is not None and given.source == "fx"
    assert given.matrix.tolist() == [[50.0, 0.0, 19.5], [0.0, 50.0, 14.5], [0.0, 0.0, 1.0]]
    known = camera_of_image(PHONE)
    assert known.source == "EXIF (43.2666 mm on 35 mm film)" and known.matrix is not None
    assert float(known.matrix[0, 0]) == pytest.approx(50.0, abs=1e-3)  # the diagonal
    for image, exif in ((PHONE, False), (StoredImage(PIXELS, 1), True)):
        nothing = camera_of_image(image, exif=exif)
        assert nothing.matrix is None and nothing.source == ""


def test_a_file_that_names_its_size_is_scaled_to_the_image_as_stored(tmp_path: Path) -> None:
    matrix = torch.tensor([[200.0, 0, 79.5], [0, 220, 59.5], [0, 0, 1]])
    camera = CameraFile(tmp_path / "camera.yaml", matrix, (120, 160))
    upright = camera_of_image(StoredImage(PIXELS, 1), camera).matrix
    assert upright is not None
    assert upright.tolist() == [[50.0, 0.0, 19.5], [0.0, 55.0, 14.5], [0.0, 0.0, 1.0]]
    turned = camera_of_image(StoredImage(torch.zeros(3, 40, 30), 6), camera).matrix
    assert turned is not None
    assert turned.tolist() == [[55.0, 0.0, 14.5], [0.0, 50.0, 19.5], [0.0, 0.0, 1.0]]
    with pytest.raises(CameraError, match="another aspect"):
        camera_of_image(StoredImage(torch.zeros(3, 40, 40), 1), camera)
    with pytest.raises(CameraError, match="not supported"):
        camera_of_image(StoredImage(PIXELS, 1), replace(camera, lens="equidistant"))


def test_a_matrix_is_held_against_the_image_as_stored() -> None:
    normalised = torch.tensor([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    turned = StoredImage(torch.zeros(3, 40, 30), 6)
    for image in (StoredImage(PIXELS, 1), turned):
        with pytest.raises(CameraError, match="divided by the size"):
            camera_of_image(image, normalised)


def test_images_of_several_sizes_have_one_camera_file(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Whose size is named; the same numbers without one cannot fit both."""
    matrix = torch.tensor([[200.0, 0, 79.5], [0, 200, 59.5], [0, 0, 1]])
    for size, warned in (((120, 160), False), (None, True)):
        check = SizeCheck(Settings(CameraFile(tmp_path / "camera.yaml", matrix, size)))
        for height in (60, 120):
            check.see(tmp_path, StoredImage(torch.zeros(3, height, height * 4 // 3), 1))
        assert bool(recwarn.list) == warned


def test_a_field_of_view_is_across_the_image_as_the_sensor_lies() -> None:
    upright, turned = StoredImage(PIXELS, 1), StoredImage(PIXELS, 6)
    for image, focal in ((upright, 20.0), (turned, 15.0)):
        found = camera_of_image(image, fov=90.0)
        assert found.source == "a field of view of 90 degrees" and found.matrix is not None
        assert float(found.matrix[0, 0]) == pytest.approx(focal)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"intrinsics": None, "fx": 50.0, "fov": 60.0}, "`fx` and `fov` are given; give one"),
        ({"intrinsics": torch.eye(3), "fx": None, "fov": 60.0}, "`intrinsics` and `fov`"),
        ({"intrinsics": None, "fx": -1.0, "fov": None}, "`fx` is -1.0"),
        ({"intrinsics": None, "fx": None, "fov": 200.0}, "`fov` is 200"),
        ({"intrinsics": None, "fx": True, "fov": None}, "`fx` is True; expected a number"),
    ],
)
def test_several_ways_at_once_and_impossible_ones(options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=words):
        check_focal(**options)


WIDTH, HEIGHT, ZOOM, FILM = 0xA002, 0xA003, 0xA404, 0xA405
MATRIX = [[90.0, 0.0, 30.0], [0.0, 110.0, 20.0], [0.0, 0.0, 1.0]]


def photo(file: Path, turned: object, tags: dict[int, float]) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turned
    exif.get_ifd(0x8769).update(tags)
    image = Image.new("RGB", (80, 60), (90, 120, 150))
    image.paste((250, 30, 10), (0, 0, 30, 20))  # so that turning shows
    image.save(file, exif=exif)
    return file


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("turned", [1, 3, 6, 8, 99])
def test_the_runtime_has_the_same_rules(tmp_path: Path, ending: str, turned: int) -> None:
    """The two may not import each other: every case gives the same focal length in the same words."""
    tags: list[dict[int, float]] = [
        {}, {FILM: 26}, {FILM: 0}, {FILM: 9999}, {FILM: 26, ZOOM: 2.0}, {FILM: 26, ZOOM: 0},
        {FILM: 26, WIDTH: 4000, HEIGHT: 3000}, {FILM: 26, WIDTH: 3000, HEIGHT: 4000},
        {FILM: 26, WIDTH: 4000, HEIGHT: 2250}, {FILM: 26, WIDTH: 0, HEIGHT: 0},
    ]  # fmt: skip
    given: list[dict[str, Any]] = [
        {}, {"fx": 70.0}, {"fov": 65.0}, {"intrinsics": MATRIX}, {"fx": 70.0, "fov": 65.0},
        {"intrinsics": MATRIX, "fov": 65.0}, {"fov": 180.0}, {"fov": float("nan")}, {"fx": 0.0},
        {"fx": float("inf")}, {"exif": False},
    ]  # fmt: skip
    sources = set()
    for number, shot in enumerate(tags):
        file = photo(tmp_path / f"{number}.{ending}", turned, shot)
        for options in given if number < 2 else given[:1]:
            found = [theirs(file, options), ours(file, options), theirs(Image.open(file), options)]
            assert found[0] == found[1] == found[2] == ours(Image.open(file), options)
            sources.add(found[0][1].partition(" (")[0])
    assert {"", "fx", "intrinsics", "a field of view of 65 degrees"} < sources
    assert ("EXIF" in sources) == (ending != "tif")  # Pillow does not write these tags there


def ours(image: Path | Image.Image, options: dict[str, Any]) -> tuple[float | None, str]:
    """Focal length and source, or the error, of crosstask."""
    matrix = {k: torch.tensor(v) for k, v in options.items() if k == "intrinsics"}
    stored = to_image(image)
    try:
        known = camera_of_image(stored, **options | matrix)
    except ValueError as error:
        return None, str(error)
    focal = None if known.matrix is None else float(focal_lengths(known.matrix))
    return None if focal is None else round(focal, 3), known.source


def theirs(image: Path | Image.Image, options: dict[str, Any]) -> tuple[float | None, str]:
    """Focal length and source, or the error, of the runtime."""
    stored = to_runtime_image(image)
    assert np.array_equal(stored.pixels, to_image(image).pixels.permute(1, 2, 0).numpy())
    try:
        known = focal_of_image(stored, **options)
    except ValueError as error:
        return None, str(error)
    return None if known.pixels is None else round(known.pixels, 3), known.source
