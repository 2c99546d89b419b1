"""Images of a lens that bends lines become those of a pinhole; ray distances become depth."""

import numpy as np
import pytest
import torch

from crosstask.geometry.camera import CameraError
from crosstask.geometry.lens import ray_lengths, undistort

CAMERA = torch.tensor([[40.0, 0.0, 31.5], [0.0, 40.0, 23.5], [0.0, 0.0, 1.0]])
SIZE = (48, 64)


def bent(pixel: tuple[float, float], k1: float, k2: float) -> tuple[float, float]:
    """OpenCV's radial formula, by hand."""
    x, y = (pixel[0] - 31.5) / 40, (pixel[1] - 23.5) / 40
    r2 = x * x + y * y
    factor = 1 + k1 * r2 + k2 * r2 * r2
    return 40 * x * factor + 31.5, 40 * y * factor + 23.5


def test_each_pixel_comes_from_the_place_that_opencvs_formula_gives() -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    ramps = torch.from_numpy(np.stack([columns, rows]))  # value = where it was stored
    found = undistort(ramps, CAMERA, (-0.3, 0.1, 0, 0))
    for pixel in ((10, 5), (31, 23), (60, 40)):
        expected = bent(pixel, -0.3, 0.1)
        assert np.allclose(found[:, pixel[1], pixel[0]].numpy(), expected, atol=1e-3)


def test_labels_take_the_nearest_pixel_and_what_lay_outside_is_void() -> None:
    labels = torch.arange(48 * 64).reshape(SIZE)
    found = undistort(labels, CAMERA, (0.4, 0.0, 0.0, 0.0), void=-1)
    x, y = bent((12, 20), 0.4, 0.0)
    assert found[20, 12] == labels[round(y), round(x)] and found.dtype == torch.int64
    assert found[0, 0] == -1 and (found[20:28, 28:36] >= 0).all()
    assert torch.equal(undistort(labels, CAMERA, (0.0, 0.0, 0.0, 0.0), void=-1), labels)


def test_the_ray_of_a_pixel_is_as_long_as_its_vector() -> None:
    lengths = ray_lengths(CAMERA, SIZE)
    assert lengths.shape == (1, 48, 64)
    assert torch.isclose(lengths[0, 5, 10], torch.tensor([-21.5 / 40, -18.5 / 40, 1.0]).norm())


@pytest.mark.parametrize(
    "lens", [(1e300, 0.0, 0.0, 0.0), (0.0, 0.0, 1e5, 0.0), (-1e30, 1e30, 0.0, 0.0)]
)
def test_a_lens_that_cannot_be_is_an_error(lens: tuple[float, ...]) -> None:
    for void in (None, -1):
        with pytest.raises(CameraError, match=r"a\.json has the distortion .* out of the image"):
            undistort(torch.zeros(SIZE), CAMERA, lens, void, "a.json")
