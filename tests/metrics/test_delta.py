"""The multi-task gain against the printed ones of DenseMTL, Table 1."""

import pytest

from crosstask.metrics import delta
from crosstask.tasks import Depth, Edges, Normals, Segmentation

S, D, N, E = Segmentation(2), Depth(), Normals(), Edges()
KEYS = ("segmentation/miou", "depth/rmse", "normals/mean", "edges/f1")

BASELINES = {
    "synthia": (67.43, 5.379, 19.61),
    "vkitti2": (84.53, 5.720, 23.14),
    "cityscapes": (67.93, 6.622, 44.10),
}
# dataset, printed gain, mIoU, RMSE[, mean angle]
TABLE_1 = [
    ("synthia", 3.76, 69.83, 5.166),
    ("synthia", 6.85, 70.87, 4.917),
    ("synthia", 17.60, 77.50, 4.289),
    ("synthia", 21.04, 80.53, 4.161),
    ("synthia", 5.37, 71.27, 5.108),
    ("synthia", 7.58, 72.27, 4.949),
    ("synthia", 20.06, 79.93, 4.218),
    ("synthia", 23.83, 82.99, 4.056),
    ("synthia", 5.45, 71.27, 5.108, 18.51),
    ("synthia", 5.62, 72.27, 4.949, 19.28),
    ("synthia", 20.29, 79.93, 4.218, 15.54),
    ("synthia", 24.92, 82.99, 4.056, 14.30),
    ("vkitti2", 1.89, 87.73, 5.720),
    ("vkitti2", 3.63, 88.43, 5.571),
    ("vkitti2", 21.78, 96.13, 4.013),
    ("vkitti2", 27.47, 97.00, 3.423),
    ("vkitti2", 30.70, 97.53, 3.089),
    ("vkitti2", 33.00, 97.53, 3.089, 14.44),
    ("cityscapes", 0.52, 70.43, 6.797),
    ("cityscapes", 0.52, 70.23, 6.777),
    ("cityscapes", 5.91, 75.00, 6.528),
    ("cityscapes", 4.96, 74.95, 6.649),
]


@pytest.mark.parametrize("row", TABLE_1, ids=[f"{r[0]}-{r[1]}" for r in TABLE_1])
def test_printed_gains_of_table_1(row):
    dataset, printed, *values = row
    metrics = dict(zip(KEYS, values, strict=False))
    baseline = dict(zip(KEYS, BASELINES[dataset], strict=False))
    tasks = (S, D, N)[: len(values)]
    assert delta(metrics, baseline, tasks) == pytest.approx(printed, abs=0.025)


def test_partial_gain_leaves_tasks_out():
    baseline = {"segmentation/miou": 0.5, "depth/rmse": 2.0, "normals/mean": 20.0, "edges/f1": 0.4}
    metrics = {"segmentation/miou": 0.6, "depth/rmse": 1.5, "normals/mean": 22.0, "edges/f1": 0.5}
    # +20, +25, -10, +25 percent
    assert delta(metrics, baseline, (S, D, N, E)) == pytest.approx(15)
    assert delta(metrics, baseline, (S, D)) == pytest.approx(22.5)
    assert delta(metrics, baseline, (N,)) == pytest.approx(-10)


def test_what_is_missing_is_named():
    with pytest.raises(KeyError, match="`baseline` has no 'depth/rmse'"):
        delta({"depth/rmse": 1.0}, {}, [D])
    with pytest.raises(ValueError, match="= 0"):
        delta({"depth/rmse": 1.0}, {"depth/rmse": 0.0}, [D])
    with pytest.raises(ValueError, match="empty"):
        delta({}, {}, [])
