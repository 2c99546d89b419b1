"""Depth errors against numpy and by hand."""

import numpy as np
import pytest
import torch

from crosstask.metrics import DepthMetric


def field(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def scores(metric, prediction, target):
    metric.update(prediction, target)
    return {key: value.item() for key, value in metric.compute().items()}


def test_by_hand():
    values = scores(DepthMetric(), field(12, 4, 7), field(10, 5, 0))
    assert values["rmse"] == pytest.approx((5 / 2) ** 0.5)
    assert values["abs_rel"] == pytest.approx(0.2)
    assert values["sq_rel"] == pytest.approx((4 / 10 + 1 / 5) / 2)
    log = (np.log(1.2) ** 2 + np.log(0.8) ** 2) / 2
    assert values["log_rmse"] == pytest.approx(log**0.5, rel=1e-6)
    # ratios 1.2 and 1.25: the limit itself is outside
    assert (values["delta1"], values["delta2"]) == (0.5, 1.0)


def test_pooled_and_per_image_differ():
    metric = DepthMetric()
    metric.update(field(11, 11), field(10, 10))
    metric.update(field(13, 99), field(10, 0))
    values = metric.compute()
    # squared errors 1, 1 | 9: pooled 11/3, mean of images (1 + 9) / 2
    assert values["rmse"].item() == pytest.approx((11 / 3) ** 0.5)
    assert values["rmse_image"].item() == pytest.approx(5**0.5)


def test_range():
    metric = DepthMetric(near=1, far=20)
    values = scores(metric, field(0.5, 30, 5, 5), field(1, 20, 0.9, 21))
    assert values["rmse"] == 0
    assert metric.pixels == 2


def test_against_numpy():
    rng = np.random.default_rng(1)
    target = rng.uniform(0, 100, (5, 1, 7, 9)).astype(np.float32)
    prediction = (target * rng.uniform(0.6, 1.5, target.shape) + 0.1).astype(np.float32)
    target[rng.random(target.shape) < 0.2] = 0
    values = scores(DepthMetric(), torch.from_numpy(prediction), torch.from_numpy(target))
    valid = (target >= 1e-3) & (target <= 80)
    t = target[valid].astype(np.float64)
    p = np.clip(prediction[valid].astype(np.float64), 1e-3, 80)
    expected = {
        "rmse": np.sqrt(np.mean((p - t) ** 2)),
        "abs_rel": np.mean(np.abs(p - t) / t),
        "sq_rel": np.mean((p - t) ** 2 / t),
        "log_rmse": np.sqrt(np.mean((np.log(p) - np.log(t)) ** 2)),
    } | {f"delta{k}": np.mean(np.maximum(p / t, t / p) < 1.25**k) for k in (1, 2, 3)}
    for key, value in expected.items():
        assert values[key] == pytest.approx(value, rel=1e-9), key


def test_median_scaling_by_hand():
    metric = DepthMetric(median_scaling=True)
    metric.update(field(1, 2, 3), field(2, 4, 6))
    metric.update(field(2, 4, 8), field(1, 2, 4))
    values = {key: value.item() for key, value in metric.compute().items()}
    assert values["median_scaled/abs_rel"] == pytest.approx(0, abs=1e-12)
    assert values["median_scaled/delta1"] == 1
    # errors 1/2 three times, 1 three times
    assert values["abs_rel"] == pytest.approx(0.75)
    # scales 2 and 1/2
    assert values["median_scaled/ratio_mean"] == pytest.approx(1.25)
    assert values["median_scaled/ratio_std"] == pytest.approx(0.75)
    assert "median_scaled/abs_rel" not in DepthMetric().compute()


def test_released_by_hand():
    """Truth 10 m is z' = 9.01; the prediction already is z'; labels need 0.991 < z < 80.99."""
    metric = DepthMetric(protocol="released")
    metric.update(field(8.01, 5, 5, 79.0), field(10, 0.99, 81, 80.5))
    metric.update(field(9.01, 5), field(10, 0))
    metric.update(field(9.01, 5), field(0, 0))
    values = {key: value.item() for key, value in metric.compute().items()}
    # squared errors 1 and 0.51^2 | 0; the third image has no label
    assert values["rmse"] == pytest.approx(((1 + 0.2601) / 4) ** 0.5, abs=1e-4)
    assert values["abs_rel"] == pytest.approx((1 / 9.01 + 0.51 / 79.51) / 4, abs=1e-5)


def test_error_by_distance():
    metric = DepthMetric(near=0.4, far=80)
    metric.update(field(12, 11, 44), field(10, 10, 40))
    details = metric.details()
    assert len(details["edges"]) == 33
    assert details["edges"][0] == pytest.approx(0.4)
    assert details["edges"][-1] == pytest.approx(80)
    assert sum(details["pixels"]) == 3
    (near, far) = (k for k, n in enumerate(details["pixels"]) if n)
    assert details["edges"][near] < 10 < details["edges"][near + 1]
    assert details["rmse"][near] == pytest.approx(2.5**0.5)
    assert details["abs_rel"][far] == pytest.approx(0.1)
