"""Sums over all but one."""

import torch

from crosstask.models.layers.sums_of_others import sums_of_others


def test_sums_of_others_by_hand():
    maps = [torch.tensor([x]) for x in (1.0, 10.0, 100.0, 1000.0)]
    assert [float(x) for x in sums_of_others(maps[:2])] == [10, 1]
    assert [float(x) for x in sums_of_others(maps)] == [1110, 1101, 1011, 111]
    assert not maps, "every map is let go"
