"""Depth as a bounded disparity: range, start, kinds of metrics."""

import math

import pytest
import torch

from crosstask.tasks import from_spec
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth


def test_decoded_by_hand() -> None:
    task = SelfSupervisedDepth()
    raw = torch.tensor([-50.0, 0.0, 50.0]).view(1, 1, 1, 3)
    # sigmoid 0, 1/2, 1: 100 m, 1 / (0.01 + 9.99 / 2) m, 0.1 m
    expected = torch.tensor([100.0, 1 / 5.005, 0.1]).view(1, 1, 1, 3)
    torch.testing.assert_close(task.decode(raw), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("start", "expected"), [(None, math.sqrt(10.0)), (1.0, 1.0), (40.0, 40.0)])
def test_an_untrained_network_starts_where_it_is_told(start: float | None, expected: float) -> None:
    task = SelfSupervisedDepth(start=start)
    (bias,) = task.initial_bias()
    assert float(task.decode(torch.full((1, 1, 2, 2), bias))[0, 0, 0, 0]) == pytest.approx(
        expected, rel=1e-3
    )


def test_metrics_of_depth_up_to_scale_are_named_so() -> None:
    truth = torch.tensor([2.0, 4.0, 8.0, 0.0]).view(1, 1, 1, 4)
    guess = torch.tensor([0.5, 1.0, 3.0, 7.0]).view(1, 1, 1, 4)  # a quarter, but for one
    values = {}
    for scaling in ("median", "none", "both"):
        metric = SelfSupervisedDepth(scaling=scaling).metric()
        metric.update(guess, truth)
        values[scaling] = {k: float(v) for k, v in metric.compute().items()}
    assert all(name.startswith("median_scaled/") for name in values["median"])
    assert not any("median" in name for name in values["none"])
    assert values["both"] == pytest.approx(values["none"] | values["median"])
    # times 4: errors 0, 0, 4 m of 8 m; unscaled: 1.5/2, 3/4, 5/8
    assert values["median"]["median_scaled/abs_rel"] == pytest.approx(0.5 / 3)
    assert values["none"]["abs_rel"] == pytest.approx((0.75 + 0.75 + 0.625) / 3)
    task = SelfSupervisedDepth()
    assert task.score(values["median"]) == pytest.approx(2 / 3)
    assert list(values["median"]) == list(_metric_names(task))
    assert "abs_rel" in _metric_names(SelfSupervisedDepth(kind="metric"))


def _metric_names(task: SelfSupervisedDepth) -> tuple[str, ...]:
    metric = task.metric()
    metric.update(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    return tuple(metric.compute())


def test_labels_beyond_the_range_do_not_count_and_could_teach() -> None:
    task = SelfSupervisedDepth(near=1.0, far=50.0)
    target = torch.tensor([0.0, 0.5, 10.0, 60.0]).view(1, 1, 1, 4)
    assert task.valid(target).flatten().tolist() == [False, False, True, False]
    output = torch.zeros(1, 1, 1, 4, requires_grad=True)
    loss = task.loss(output, target)
    assert float(loss.detach()) == pytest.approx(math.log(10.0 * 5.005), rel=1e-5)
    loss.backward()
    assert output.grad.flatten().tolist()[:2] == [0.0, 0.0] and output.grad[0, 0, 0, 2] > 0
    nothing = task.loss(output, torch.zeros_like(target))
    nothing.backward()
    assert float(nothing.detach()) == 0.0


def test_a_spec_brings_it_back() -> None:
    task = SelfSupervisedDepth(kind="metric", farthest=120.0, start=5.0, scaling="none")
    assert from_spec(task.to_spec()) == task


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nearest": 5.0, "farthest": 1.0}, "nearest"),
        ({"start": 200.0}, "start"),
        ({"kind": "relative"}, "kind"),
        ({"scaling": "mean"}, "scaling"),
        ({"near": 3.0, "far": 2.0}, "near"),
        ({"protocol": "released"}, "protocol"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):  # the type check may come first
        SelfSupervisedDepth(**options)
