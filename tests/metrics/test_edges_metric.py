"""Pixel-wise edge scores against numpy and by hand."""

import numpy as np
import pytest
import torch

from crosstask.metrics import EdgesMetric


def field(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def scores(metric, prediction, target):
    metric.update(prediction, target)
    return {key: value.item() for key, value in metric.compute().items()}


def test_by_hand():
    prediction = field(0.9, 0.8, 0.6, 0.2, 0.4, 0.9)
    target = field(1, 0, 1, 1, 0, 255)
    values = scores(EdgesMetric(), prediction, target)
    # two hits, one false alarm, one miss
    assert values["f1"] == pytest.approx(4 / 6)
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(2 / 3)
    # at 0.2 everything fires: 2 * 3 / (5 + 3)
    assert values["best_f1"] == pytest.approx(0.75)


def test_a_predictor_that_never_fires():
    target = field(*([1.0] * 5 + [0.0] * 95))
    silent = torch.zeros_like(target)
    values = scores(EdgesMetric(), silent, target)
    assert values["f1"] == 0
    assert values["recall"] == 0
    released = scores(EdgesMetric("released"), silent, target)
    # background: 190 / 195
    assert released["f1"] == pytest.approx(0.487, abs=5e-4)
    assert released["edge_f1"] == 0


def test_against_numpy():
    rng = np.random.default_rng(0)
    target = (rng.random((3, 1, 9, 8)) < 0.2).astype(np.float32)
    prediction = (0.5 * target + 0.6 * rng.random(target.shape)).astype(np.float32)
    target[rng.random(target.shape) < 0.1] = 255
    values = scores(EdgesMetric(), torch.from_numpy(prediction), torch.from_numpy(target))
    known = target != 255
    p, t = prediction[known] > 0.5, target[known] == 1
    hits = (p & t).sum()
    assert values["f1"] == pytest.approx(2 * hits / (p.sum() + t.sum()))
    assert values["precision"] == pytest.approx(hits / p.sum())
    assert values["recall"] == pytest.approx(hits / t.sum())


def test_curve():
    metric = EdgesMetric()
    metric.update(field(0.9, 0.8, 0.1), field(1, 0, 1))
    details = metric.details()
    points = zip(details["precision"], details["recall"], strict=True)
    at = dict(zip(details["threshold"], points, strict=True))
    assert at[0.0] == (pytest.approx(2 / 3), 1.0)
    assert at[0.5] == (0.5, 0.5)
    assert at[0.875] == (1.0, 0.5)
    assert at[0.953125] == (None, 0.0)
