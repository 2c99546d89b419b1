"""What a value range may be, and when it is told that it does not fit."""

import pytest
import torch

from crosstask.media.value_range import few_levels, parse_value_range, range_text


@pytest.mark.parametrize("given", ["0..4095", "0:4095", "0, 4095", (0, 4095), [0.0, 4095.0]])
def test_ways_to_give_a_range(given: object) -> None:
    assert parse_value_range(given) == (0.0, 4095.0)  # type: ignore[arg-type]
    assert parse_value_range("auto") is parse_value_range(None) is None
    assert parse_value_range("-5.5..1e3") == (-5.5, 1000.0)
    assert parse_value_range(range_text((0.0, 4095.0))) == (0.0, 4095.0)


@pytest.mark.parametrize("given", ["", "4095", "5..1", "0..nan", (0,), (1, 2, 3), "a..b", (0, 0)])
def test_no_range(given: object) -> None:
    with pytest.raises(ValueError, match=r"`value_range` is .*0\.\.4095"):
        parse_value_range(given)  # type: ignore[arg-type]


def test_few_levels_are_told() -> None:
    """2000 of 65536 counts are 7.8 of 256 grey levels."""
    thermal = torch.linspace(29000 / 65535, 31000 / 65535, 100).view(1, 10, 10)
    text = few_levels(thermal, None)
    assert text is not None and "7.8 of 256 grey levels" in text and "value_range" in text
    assert few_levels(torch.linspace(0, 1, 100).view(1, 10, 10), (29000.0, 31000.0)) is None
    assert few_levels(torch.zeros(3, 4, 4, dtype=torch.uint8), None) is None  # black is black
    beyond = torch.tensor([0.0, 1.0, 1.0, 0.5]).view(1, 2, 2)
    assert "75 % of the pixels lie at the ends" in (few_levels(beyond, (0.0, 1.0)) or "")
