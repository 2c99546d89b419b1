"""Dataset-level segmentation scores against numpy and by hand."""

import numpy as np
import pytest
import torch

from crosstask.metrics import SegmentationMetric

NAMES = ("a", "b", "c", "never")


def test_by_hand():
    metric = SegmentationMetric(NAMES)
    metric.update(
        torch.tensor([[[0, 0, 1, 2, 2, 0]]]),
        torch.tensor([[[0, 1, 1, 1, 2, 255]]]),
    )
    values = metric.compute()
    # a: 1 / 2; b: 1 / 3; c: 1 / 2; the last class occurs nowhere and does not count
    assert values["iou/a"] == 0.5
    assert values["iou/b"] == pytest.approx(1 / 3)
    assert values["iou/c"] == 0.5
    assert torch.isnan(values["iou/never"])
    assert values["miou"] == pytest.approx(4 / 9)
    assert values["pixel_accuracy"] == pytest.approx(3 / 5)
    assert values["mean_accuracy"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert metric.details()["confusion"][1] == [1, 1, 1, 0]


def test_a_class_that_is_only_predicted_counts_as_zero():
    metric = SegmentationMetric(NAMES)
    metric.update(torch.tensor([[[0, 3]]]), torch.tensor([[[0, 0]]]))
    assert metric.compute()["miou"] == pytest.approx(0.25)


def test_is_not_the_mean_over_images():
    metric = SegmentationMetric(("a", "b"))
    prediction = torch.tensor([[[0, 0, 0, 0]], [[1, 0, 0, 0]]])
    target = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 1]]])
    metric.update(prediction, target)
    # a: 4 / 7, b: 1 / 4 over the dataset
    assert metric.compute()["miou"] == pytest.approx((4 / 7 + 1 / 4) / 2)


def test_against_numpy():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, (4, 11, 13))
    prediction = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, 3, target.shape))
    target[rng.random(target.shape) < 0.2] = 255
    metric = SegmentationMetric(NAMES)
    metric.update(torch.from_numpy(prediction), torch.from_numpy(target))
    known = target != 255
    iou = [
        np.sum((prediction == k) & (target == k))
        / np.sum(((prediction == k) & known) | (target == k))
        for k in range(3)
    ]
    assert metric.compute()["miou"].item() == pytest.approx(np.mean(iou), rel=1e-12)
    accuracy = np.mean((prediction == target)[known])
    assert metric.compute()["pixel_accuracy"].item() == pytest.approx(accuracy, rel=1e-12)


@pytest.mark.parametrize(("prediction", "target"), [(0, 9), (9, 0), (0, -1)])
def test_foreign_classes_are_named(prediction, target):
    metric = SegmentationMetric(NAMES)
    with pytest.raises(ValueError, match="expected 0 to 3"):
        metric.update(torch.tensor([[[prediction]]]), torch.tensor([[[target]]]))


def test_many_classes_are_counted_without_a_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 5, (2, 8, 9), generator=generator)
    guess = torch.randint(0, 5, (2, 8, 9), generator=generator)
    target[0, 0] = 65535
    few = SegmentationMetric([str(i) for i in range(5)], 65535)
    many = SegmentationMetric([str(i) for i in range(3000)], 65535)
    for metric in (few, many):
        metric.update(guess, target)
    wanted, found = few.compute(), many.compute()
    for name, value in wanted.items():
        assert torch.equal(value, found[name]), name
    assert "confusion" not in many.details() and "merge classes" in many.details()["note"]
