"""Saliency scores by hand and against numpy."""

import numpy as np
import pytest
import torch

from crosstask.metrics import SaliencyMetric


def field(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def scores(metric):
    return {key: value.item() for key, value in metric.compute().items()}


def test_by_hand():
    metric = SaliencyMetric()
    metric.update(field(0.97, 0.97, 0.97, 0.01, 0.99), field(1, 1, 0, 1, 255))
    metric.update(field(0.97, 0.01), field(1, 0))
    values = scores(metric)
    # the same pixels fire at all thresholds: IoU 2/4 and 1
    assert values["max_iou"] == pytest.approx(0.75)
    # image means: precision (2/3 + 1) / 2, recall the same, so F too
    assert values["max_f_image"] == pytest.approx(5 / 6)
    # dataset: 3 hits of 4 fired and 4 there
    assert values["max_f"] == pytest.approx(0.75)


def test_f_weighs_precision():
    metric = SaliencyMetric()
    metric.update(field(0.97, 0.01, 0.01, 0.01), field(1, 1, 0, 0))
    # precision 1, recall 1/2: 1.3 * 0.5 / (0.3 + 0.5)
    assert scores(metric)["max_f"] == pytest.approx(0.8125)


def test_images_without_salient_pixels():
    metric = SaliencyMetric()
    metric.update(field(0.01, 0.01), field(0, 0))
    assert scores(metric)["max_iou"] == 1
    metric.update(field(0.97, 0.01), field(0, 0))
    assert scores(metric)["max_iou"] == 0.5
    metric.update(field(0.97, 0.01), field(255, 255))
    assert metric.images == 2


def test_against_numpy():
    rng = np.random.default_rng(0)
    target = (rng.random((5, 1, 8, 9)) < 0.4).astype(np.float32)
    guess = np.clip(0.3 * target + rng.random(target.shape) * 0.7, 0, 1).astype(np.float32)
    metric = SaliencyMetric()
    metric.update(torch.from_numpy(guess), torch.from_numpy(target))
    t = target.astype(bool)
    iou = []
    for level in np.linspace(0.2, 0.9, 15):
        p = guess > level
        iou.append(np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(p, t, strict=True)]))
    best = []
    for level in np.linspace(0.05, 0.95, 19):
        hits, fired = (t & (guess > level)).sum(), max(1, (guess > level).sum())
        precision, recall = hits / fired, hits / t.sum()
        best.append(1.3 * precision * recall / max(1e-9, 0.3 * precision + recall))
    values = scores(metric)
    assert values["max_iou"] == pytest.approx(max(iou))
    assert values["max_f"] == pytest.approx(max(best))
