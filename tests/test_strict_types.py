"""Shapes and types are checked in the first calls of every function, anew in every test."""

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

import strict_types
from crosstask.data.streets.dice import Dice


def test_the_first_calls_of_a_test_are_checked_and_no_further_ones() -> None:
    dice, half = Dice(torch.arange(2)), torch.tensor(0.5)
    wrong: Any = half  # works, and is no float
    for _ in range(strict_types.CHECKED - 1):
        dice.chance(1, 0.5)
    with pytest.raises(TypeCheckError, match=r"streets\.dice"):
        dice.chance(1, wrong)
    dice.chance(1, 0.5)
    assert dice.chance(1, wrong).shape == (2, 1)  # unchecked by now
    with pytest.raises(TypeCheckError):
        Dice(wrong)  # other functions are counted apart

    strict_types.begin_test()
    with pytest.raises(TypeCheckError):
        dice.chance(1, wrong)


def test_results_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dice, "unit", lambda dice, count: torch.zeros(()))
    with pytest.raises(TypeCheckError, match="return value"):
        Dice(torch.arange(2)).uniform(1, 0.0, 1.0)
