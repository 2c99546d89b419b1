"""Several uploads as one: what is kept of their cameras, and what is told of those left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.media.video import write_video
from crosstask.web import album
from crosstask.web.session import Limits, Scene, Studio, TooSlowError
from fakes.served import tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model(), Limits(shown_pixels=5000, together_pixels=20_000, frames=2))


def write_images(folder: Path, number: int) -> list[Path]:
    files = [folder / f"{index}.png" for index in range(number)]
    for file in files:
        Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(file)
    return files


def test_a_focal_length_is_in_pixels_of_the_upload_also_of_a_video(
    studio: Studio, tmp_path: Path
) -> None:
    file = tmp_path / "clip.mp4"
    write_video(file, [torch.zeros(3, 128, 256, dtype=torch.uint8)] * 2, 2.0)
    files = [file, *write_images(tmp_path, 1)]
    images, wrong = album.read([studio], files)
    assert not wrong and [taken.images[0].size for taken in images] == [(128, 256)] * 2 + [
        (100, 200)
    ]
    assert all(taken.images[0].pixels[0].numel() <= 10_000 for taken in images)
    found, told = album.predict([studio], images, album.Camera(fx=300.0))
    assert len(told) == 1 and "0 has 200 x 100 pixels, images before it 256 x 128" in told[0]
    assert not album.predict([studio], images, album.Camera(fov=60.0))[1]
    for item, width in zip(found.items, (256, 256, 200), strict=True):
        matrix = item.scenes[0].prediction.intrinsics
        assert matrix is not None
        assert float(matrix[0, 0]) / item.scenes[0].size[1] == pytest.approx(300 / width, rel=0.02)


def test_a_model_of_one_camera_sees_images_whole_and_no_exif(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(studio.model), "own_focal", 70.0)
    image = album.StoredImage(torch.zeros(3, 100, 200), 1, film_focal=26.0)
    scene = studio.look(image)
    assert scene.size == (100, 200) and "EXIF" not in scene.prediction.camera_source


def test_images_that_take_too_long_are_named(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images, _ = album.read([studio], write_images(tmp_path, 3))
    look = studio.look

    def slow(image: album.StoredImage, *rest: object, **options: object) -> Scene:
        if image is images[1].images[0]:
            raise TooSlowError("too slow")
        return look(image, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(studio, "look", slow)
    found, told = album.predict([studio], images, album.Camera())
    assert [item.name for item in found.items] == ["0", "2"] and told == [
        "1 was left out: too slow"
    ]
    found, told = album.predict([studio], images, album.Camera(), end=0.0)
    assert len(found.items) == 1 and told == [f"2 of 3 images were left out: {album.TOO_LONG}"]


def test_every_upload_is_deleted_whatever_happens(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = write_images(tmp_path, 3)
    images, wrong = album.read([studio], files, end=0.0)
    assert len(images) == 1 and wrong == [f"2 of 3 files were left out: {album.TOO_LONG}"]
    assert not any(file.exists() for file in files)
    files = write_images(tmp_path, 3)
    few = Studio(studio.model, replace(studio.limits, images=2))
    assert "at most 2" in album.read([few], files)[1][0]
    assert not any(file.exists() for file in files)

    def exhausted(path: Path, keep: bool) -> None:
        raise MemoryError

    files = write_images(tmp_path, 3)
    monkeypatch.setattr(studio, "open", exhausted)
    with pytest.raises(MemoryError):
        album.read([studio], files)
    assert not any(file.exists() for file in files)
