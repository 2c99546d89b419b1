"""The pace of an experiment: what is timed, and what is not."""

from collections.abc import Callable
from typing import Any

import pytest

from crosstask.engine import pace
from crosstask.engine.hardware import Hardware
from crosstask.recipes import procedural
from crosstask.regimes.supervised import Supervised

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
    clock = [0.0]

    def advance(method: Any, by: Callable[[Any], float]) -> Any:
        def timed(regime: Supervised, *args: Any) -> Any:
            clock[0] += by(regime)
            return method(regime, *args)

        return timed

    train, validate = Supervised.training_step, Supervised.validation_step
    warm = lambda regime: 10.0 if regime.global_step else 1000.0  # noqa: E731
    monkeypatch.setattr(Supervised, "training_step", advance(train, warm))
    monkeypatch.setattr(Supervised, "validation_step", advance(validate, lambda _: 6.0))
    monkeypatch.setattr(pace, "_now", lambda device: clock[0])
    experiment = procedural.supervised(**TINY, accumulate=accumulate)
    found = pace.measure_pace(experiment, CPU, steps=2, warmup=1)
    assert found.step == 10.0 * accumulate  # without the thousand of the first
    assert found.validation is not None and 3.0 < found.validation < 6.0  # six for two images
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
