"""Evenly spaced samples."""

import pytest

from crosstask.data.spacing import evenly


def test_by_hand() -> None:
    assert evenly(10, 3) == [0, 3, 6]
    assert evenly(5, 3) == [0, 1, 3]
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(3, 0) == evenly(0, 3) == []


@pytest.mark.parametrize(("size", "samples"), [(100, 60), (100, 51), (101, 100), (7, 4)])
def test_the_whole_range_is_covered_with_steps_that_differ_by_one_at_most(size, samples) -> None:
    indices = evenly(size, samples)
    steps = [b - a for a, b in zip(indices, [*indices[1:], size], strict=True)]
    assert len(indices) == samples and set(steps) <= {size // samples, -(-size // samples)}
