"""Numbers of a training that cannot be are refused before anything is built."""

import math
from typing import Any

import pytest

from crosstask.engine.limits import check_numbers
from crosstask.recipes.settings import TrainingSettings
from crosstask.regimes.optimization import OptimizerSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -5),
        ("steps", 0),
        ("steps", True),
        ("batch_size", 0),
        ("accumulate", 0),
        ("val_every", 0),
        ("val_batch_size", -1),
        ("clip", -1.0),
        ("clip", 0.0),
        ("clip", math.nan),
        ("seed", -1),
        ("seed", 2**63),
        ("lr", math.inf),
        ("lr", math.nan),
        ("lr", 0.0),
        ("encoder_lr", -1.0),
        ("encoder_lr", math.inf),
        ("ema", 1.0),
    ],
)
def test_impossible_numbers_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is .*; expected"):
        TrainingSettings(**{name: value})


def test_what_may_be_left_open_or_off() -> None:
    TrainingSettings(steps=None, batch_size=None, clip=None, lr=None)
    TrainingSettings(steps=1, batch_size=1, seed=0, ema=0.0, encoder_lr=0.0, clip=1e-3)


def test_an_experiment_made_in_python_is_looked_at_too(experiment: Any) -> None:
    made = experiment()
    made.steps = -5
    with pytest.raises(ValueError, match="`steps` is -5"):
        check_numbers(made)
    with pytest.raises(ValueError, match="`batch_size` is 0"):
        type(made)(regime=made.regime, train_data=list, val_data=list, steps=1, batch_size=0)


@pytest.mark.parametrize("rates", [{"lr": math.inf}, {"encoder_lr": math.inf}, {"lr": math.nan}])
def test_rates_of_an_optimiser_are_finite(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        OptimizerSettings(**rates)
