"""The pace of an experiment: what is timed, and what is not."""

from typing import Any

import pytest

from crosstask.engine import pace
from crosstask.engine.hardware import Hardware
from crosstask.recipes import procedural

CPU = Hardware("cpu", "32")
TINY: dict[str, Any] = {
    "size": "32x64",
    "width": 0.0625,
    "encoder": "resnet10t",
    "pretrained": False,
    "batch_size": 2,
    "val_length": 2,
    "tasks": "segmentation,depth",
}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_mean_of_the_steps_after_the_warm_up(
    accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 1000, 10))
    monkeypatch.setattr(pace, "_now", lambda device: float(next(ticks)))
    experiment = procedural.supervised(**TINY, accumulate=accumulate)
    found = pace.measure_pace(experiment, CPU, steps=2, warmup=1)
    assert found.step == 5.0  # ten seconds for two steps
    assert found.validation is not None and 5.0 < found.validation < 10.0  # ten for two images
    assert found.loading is not None and found.loading > 0
    assert 0.1 < found.memory < 100


def test_a_given_batch_and_no_validation() -> None:
    experiment = procedural.supervised(**TINY)
    batch = experiment.train_data().render_batch([0, 1])
    found = pace.measure_pace(experiment, CPU, steps=1, warmup=0, batch=batch, validate=False)
    assert found.loading is None and found.validation is None and found.step > 0


def test_no_steps() -> None:
    with pytest.raises(ValueError, match="`steps` is 0"):
        pace.measure_pace(procedural.supervised(**TINY), CPU, steps=0)
