"""Domain gap and the share of it that is closed, by hand."""

import math

import pytest

from crosstask.metrics.domain_gap import domain_gap, share_closed
from crosstask.tasks import Depth, Normals, Segmentation

TASKS = (Segmentation(3), Depth(), Normals())
SOURCE = {"segmentation/miou": 0.2, "depth/rmse": 10.0, "normals/mean": 30.0, "score": 0.45}
ORACLE = {"segmentation/miou": 0.6, "depth/rmse": 6.0, "normals/mean": 30.0, "score": 0.6}
OURS = {"segmentation/miou": 0.3, "depth/rmse": 7.0, "normals/mean": 25.0, "score": 0.5}


def test_gap_and_shares_by_hand() -> None:
    assert domain_gap(SOURCE, ORACLE) == pytest.approx(0.25)
    shares = share_closed(OURS, SOURCE, ORACLE, TASKS)
    assert shares["segmentation"] == pytest.approx(0.25)  # 0.1 of 0.4
    assert shares["depth"] == pytest.approx(0.75)  # 3 m of 4 m
    assert math.isnan(shares["normals"])  # the oracle is no better: there is no gap to close
    assert share_closed({"depth/rmse": 12.0}, SOURCE, ORACLE, TASKS) == {"depth": -0.5}
    with pytest.raises(KeyError, match="`oracle` has no 'score'"):
        domain_gap(SOURCE, {})
