"""What can be a camera, and what the others look like."""

from collections.abc import Sequence

import pytest
import torch

from crosstask.geometry.camera import CameraError, camera_matrix, check_camera, off_the_middle

SIZE = (48, 96)
GOOD = [[60.0, 0.0, 47.5], [0.0, 58.0, 23.5], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "numbers",
    [
        (60, 58, 47.5, 23.5),
        (60, 0, 47.5, 0, 58, 23.5, 0, 0, 1),
        (60, 0, 47.5, -9, 0, 58, 23.5, 0, 0, 0, 1, 0),
    ],
)
def test_four_nine_or_twelve_numbers(numbers: Sequence[float]) -> None:
    assert camera_matrix(numbers, "it", SIZE).tolist() == GOOD


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((float("nan"), 60, 47, 23), "not finite"),
        ((60, float("inf"), 47, 23), "not finite"),
        ((-60, 60, 47, 23), "above 0"),
        ((0, 0, 0, 0), "above 0"),
        ((0.58, 1.92, 0.5, 0.5), "divided by the size.*: 55.68 92.16 48 24"),
        ((910, 910, 640, 360), "of about 1281 x 721 pixels"),
        ((60, 0, 0, 0, 58, 0, 47, 23, 1), "transposed"),
        ((60, 0, 47, 0, 58, 23, 0, 0, 2), "0 0 1"),
        ((60, 58, 47), "3 numbers; expected fx fy cx cy"),
    ],
)
def test_the_impossible_is_named(numbers: Sequence[float], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        camera_matrix(numbers, "it", SIZE)


def test_a_crop_is_a_camera_and_another_resolution_is_suspected() -> None:
    matrix = torch.tensor(GOOD)
    assert not off_the_middle(matrix, SIZE)
    double = camera_matrix((120, 116, 95.5, 47.5), "it", SIZE)
    assert off_the_middle(double, SIZE)
    check_camera(camera_matrix((60, 60, 95, 23.5)), "it", SIZE)
