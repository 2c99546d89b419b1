"""Shrinking to the attention grid and enlarging from it."""

import pytest
import torch

from crosstask.models.layers.attention_grid import enlarge, pool


@pytest.mark.parametrize("how", ["nearest", "average", "bilinear", "max"])
def test_pooling_of_a_ramp(how):
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    expected = {
        "nearest": [[0.0, 2.0], [8.0, 10.0]],
        "average": [[2.5, 4.5], [10.5, 12.5]],
        "bilinear": [[2.5, 4.5], [10.5, 12.5]],
        "max": [[5.0, 7.0], [13.0, 15.0]],
    }[how]
    assert pool(ramp, 2, how)[0, 0].tolist() == expected
    assert pool(ramp, 3, how).shape == (1, 1, 2, 2)


def test_enlarge_repeats_and_crops():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert enlarge(x, 2, (2, 3), "nearest")[0, 0].tolist() == [[1, 1, 2], [1, 1, 2]]
