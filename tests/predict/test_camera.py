"""Where the camera of an image to predict comes from."""

import pytest
import torch

from crosstask.media.images import StoredImage
from crosstask.predict.camera import camera_of_image, check_focal

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
    ],
)
def test_several_ways_at_once_and_impossible_ones(options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=words):
        check_focal(**options)
