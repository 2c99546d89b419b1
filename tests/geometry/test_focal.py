"""Focal lengths from a field of view and from a lens, against numbers worked out by hand."""

import math

import pytest

from crosstask.geometry.focal import focal_of_film, focal_of_view


def test_a_right_angle_sees_half_its_width_at_that_distance() -> None:
    assert focal_of_view(90.0, 640) == pytest.approx(320.0)
    assert focal_of_view(60.0, 640) == pytest.approx(320 * math.sqrt(3))


@pytest.mark.parametrize("degrees", [0.0, 1e-30, 179.999, 180.0, -60.0, math.nan])
def test_no_field_of_view(degrees: float) -> None:
    with pytest.raises(ValueError, match=r"`fov` is .*from 0.01 to 179.9"):
        focal_of_view(degrees, 640)


def test_equivalent_focal_lengths_refer_to_the_diagonal() -> None:
    """36 mm x 24 mm of film at 100 pixels a millimetre: 26 mm are 2600 pixels."""
    assert focal_of_film(26.0, 2400, 3600) == pytest.approx(2600.0)
    assert focal_of_film(26.0, 3600, 2400) == pytest.approx(2600.0)
    assert focal_of_film(43.267, 3000, 4000) == pytest.approx(5000.0, rel=1e-4)
