"""Camera matrices by hand: what is no camera, and where the points of a camera lie."""

from pathlib import Path

import numpy as np
import pytest
from crosstask_runtime import Scene
from crosstask_runtime.camera import focal_of_image
from crosstask_runtime.images import StoredImage
from crosstask_runtime.intrinsics import camera_matrix, turned_upright, unproject

K = np.array([[500.0, 0.0, 380.0], [0.0, 520.0, 200.0], [0.0, 0.0, 1.0]])
QUANTITIES = {"depth": {"outputs": ["depth"], "is_depth": True, "camera_aware": True}}


def scene(matrix: np.ndarray | None, focal: float | None) -> Scene:
    depth = {"depth": np.full((1, 480, 640), 10, np.float32)}
    image = np.zeros((480, 640, 3), np.uint8)
    return Scene(image, depth, {}, {}, {}, focal, QUANTITIES, intrinsics=matrix)


def test_points_keep_the_principal_point_and_both_focal_lengths(tmp_path: Path) -> None:
    known = focal_of_image(StoredImage(np.zeros((480, 640, 3), np.uint8)), K)
    assert known.pixels == pytest.approx(np.sqrt(500 * 520))
    found = scene(known.matrix, known.pixels)
    points, _ = found.points()
    assert np.allclose(points[0], [-7.6, -200 / 52, 10.0])
    assert found.save_points(tmp_path / "scene.ply") == 640 * 480
    body = (tmp_path / "scene.ply").read_bytes().partition(b"end_header\n")[2]
    assert np.allclose(np.frombuffer(body[:12], "<f4"), points[0])


def test_without_a_matrix_the_camera_looks_through_the_middle() -> None:
    first = [-319.5 / 50, -239.5 / 50, 10.0]
    assert np.allclose(scene(K, 510.0).points(focal=500.0)[0][0], first)
    assert np.allclose(scene(None, 500.0).points()[0][0], first)
    assert scene(None, None).points()[0][0, 0] == pytest.approx(-3195 / (320 * np.sqrt(3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_sees_the_same_points(orientation: int) -> None:
    """Also one with skew: the points of the turned map are those of the stored one, turned."""
    matrix = K + np.array([[0.0, 7.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    depth = np.random.default_rng(0).uniform(1, 9, (480, 640)).astype(np.float32)
    points = unproject(depth, matrix)

    def upright(values: np.ndarray) -> np.ndarray:
        values = values.swapaxes(0, 1) if orientation > 4 else values
        axes = {2: 1, 3: (0, 1), 4: 0, 6: 1, 7: (0, 1), 8: 0}.get(orientation)
        return values if axes is None else np.flip(values, axes)

    x, y, z = np.moveaxis(upright(points), -1, 0)
    x, y = (y, x) if orientation > 4 else (x, y)
    x = -x if orientation in (2, 3, 6, 7) else x
    y = -y if orientation in (3, 4, 7, 8) else y
    found = unproject(upright(depth), turned_upright(matrix, orientation, 480, 640))
    assert np.allclose(found, np.stack([x, y, z], axis=-1), atol=1e-4)


def test_numbers_that_are_no_camera_of_the_image_say_what_to_do() -> None:
    for matrix, words in (
        (np.diag([0.9, 1.2, 1.0]), "divided by the size of the image.* times the width"),
        (K.T, "transposed: swap rows and columns"),
        (K * 6, "give K alone"),
        (np.array([[2800.0, 0, 1920], [0, 2800, 1080], [0, 0, 1]]), "about 3841 x 2161 pixels"),
    ):
        with pytest.raises(ValueError, match=words):
            camera_matrix(matrix, (480, 640))
    assert np.array_equal(camera_matrix(K.tolist()), K)
