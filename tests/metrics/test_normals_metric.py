"""Angular errors against numpy and by hand."""

import numpy as np
import pytest
import torch

from crosstask.metrics import NormalsMetric


def turned(degrees):
    """Unit vectors that many degrees away from (0, 0, -1)."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    vector = torch.stack([angle.sin(), 0 * angle, -angle.cos()])
    return vector.float().view(1, 3, 1, -1)


def random_unit(shape, seed):
    vector = np.random.default_rng(seed).normal(size=shape)
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def scores(metric, prediction, target):
    metric.update(prediction, target)
    return {key: value.item() for key, value in metric.compute().items()}


def test_by_hand():
    prediction = 7 * turned([0.0, 10.0, 20.0, 50.0, 3.0])
    target = turned([0.0] * 5)
    target[..., 4] = 0
    values = scores(NormalsMetric(), prediction, target)
    assert values["mean"] == pytest.approx(20, abs=1e-4)
    assert values["rmse"] == pytest.approx((3000 / 4) ** 0.5, abs=1e-4)
    assert (values["within_11"], values["within_22"], values["within_30"]) == (0.5, 0.75, 0.75)
    assert 10 <= values["median"] <= 20


def test_uniform_error():
    values = scores(NormalsMetric(), turned([10.0] * 40), turned([0.0] * 40))
    assert values["mean"] == pytest.approx(10, abs=1e-4)
    assert values["median"] == pytest.approx(10, abs=0.011)


def test_against_numpy():
    target, noise = random_unit((3, 3, 8, 9), 2), random_unit((3, 3, 8, 9), 3)
    prediction = target + 0.4 * noise
    target[1, :, 2:5, :4] = 0
    values = scores(NormalsMetric(), torch.from_numpy(prediction), torch.from_numpy(target))
    unit = prediction / np.linalg.norm(prediction, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((unit * target).sum(1), -1, 1)))
    angle = angle[np.linalg.norm(target, axis=1) > 0.5]
    assert values["mean"] == pytest.approx(angle.mean(), rel=1e-9)
    assert values["rmse"] == pytest.approx(np.sqrt((angle**2).mean()), rel=1e-9)
    assert values["median"] == pytest.approx(np.median(angle), abs=0.05)
    for name, limit in (("within_11", 11.25), ("within_22", 22.5), ("within_30", 30)):
        assert values[name] == pytest.approx((angle < limit).mean(), rel=1e-12)


def test_median_of_many_is_good_to_a_hundredth():
    angles = np.random.default_rng(0).gamma(2.0, 8.0, 20_001).clip(0, 179)
    values = scores(NormalsMetric(), turned(angles), turned(np.zeros(20_001)))
    assert values["median"] == pytest.approx(np.median(angles), abs=0.01)


@pytest.mark.parametrize("angle", [9.9995, 10.0, 10.0005])
def test_each_pixel_is_divided_between_two_nodes(angle):
    """A field of one angle has that median, though nodes are 0.01 degree apart."""
    prediction, target = turned(np.full(5, angle)), turned(np.zeros(5))
    values = scores(NormalsMetric(), prediction.double(), target.double())
    assert values["median"] == pytest.approx(angle, abs=0.001)


def test_rounding_in_the_network_moves_the_median_no_more_than_the_angles():
    """What differs between batch sizes and numbers of processes; few pixels, some at a node."""
    angles = np.concatenate([np.random.default_rng(0).uniform(0, 40, 50), [10.0, 20.0, 20.005]])
    medians = []
    for nudge in (0.0, 1e-6, -1e-6, 1e-5):
        metric, prediction, target = NormalsMetric(), turned(angles + nudge), turned(0 * angles)
        metric.update(prediction.double(), target.double())
        medians.append(metric.compute()["median"].item())
    assert max(medians) - min(medians) < 1e-4
    assert medians[0] == pytest.approx(np.median(angles), abs=0.01)


def test_the_median_does_not_depend_on_the_order_of_images():
    prediction = torch.nn.functional.normalize(torch.randn(6, 3, 20, 30), dim=1)
    target = torch.nn.functional.normalize(torch.randn(6, 3, 20, 30), dim=1)
    order = [3, 1, 5, 0, 2, 4]
    one, other = NormalsMetric(), NormalsMetric()
    one.update(prediction, target)
    for index in order:
        other.update(prediction[[index]], target[[index]])
    assert torch.equal(one.nodes, other.nodes)
    assert one.compute()["median"] == other.compute()["median"]
    assert sum(one.details()["histogram"]) == one.count


def rotated(vectors, degrees, seed):
    """Unit vectors turned by `degrees`, each about a random axis at a right angle to it."""
    axis = np.cross(vectors, random_unit(vectors.shape, seed), axis=1)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.radians(degrees)
    return vectors * np.cos(angle) + np.cross(axis, vectors, axis=1) * np.sin(angle)


def scattered(shape):
    """Normals that scatter about a frontal wall, as measured on the released code."""
    vector = 0.3 * np.random.default_rng(4).normal(size=shape)
    vector[:, 2] -= 1
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


@pytest.mark.parametrize(("true", "read"), [(5, 8.5), (10, 16.6), (20, 30.9), (40, 51.4)])
def test_released_reads_more_than_there_is(true, read):
    """The readings of the released code for a uniform error."""
    target = scattered((2, 3, 64, 600))
    prediction = torch.from_numpy(rotated(target, true, 5))
    released = scores(NormalsMetric("released"), prediction, torch.from_numpy(target))
    assert released["mean"] == pytest.approx(read, abs=0.1)
    correct = scores(NormalsMetric(), prediction, torch.from_numpy(target))
    assert correct["mean"] == pytest.approx(true, abs=1e-6)


def test_released_reading_of_a_few_large_errors():
    target = scattered((2, 3, 64, 600))
    angles = np.where(np.random.default_rng(1).random((2, 1, 64, 600)) < 0.1, 90, 3)
    prediction = torch.from_numpy(rotated(target, angles, 5))
    released = scores(NormalsMetric("released"), prediction, torch.from_numpy(target))
    # the true mean is 11.8 degrees
    assert released["mean"] == pytest.approx(34.6, abs=1)


def test_released_by_hand():
    """The norm runs over the height: two rows, one of three channels and one column differ."""
    target = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1).repeat(1, 1, 2, 1)
    prediction = target.clone()
    prediction[0, 0, 0, 0] = 1.0
    values = scores(NormalsMetric("released"), prediction, target)
    # channel x: |p - t| = |p + t| = 1, 90 degrees; y: 0 and 0; z: 0
    assert values["mean"] == pytest.approx(30)
    assert values["within_11"] == pytest.approx(2 / 3)
