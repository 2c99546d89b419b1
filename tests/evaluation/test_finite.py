"""NaN and infinity are found in weights and outputs, and named."""

import math

import pytest
import torch
from torch import nn

from crosstask.evaluation.evaluate import Evaluator
from crosstask.evaluation.finite import NonFiniteError, OutputWatch, learned, non_finite
from fakes.scenes import Scenes, scene_tasks


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bad_tensors_are_named(value: float, dtype: torch.dtype) -> None:
    good = torch.full((3, 2), 3e38, dtype=dtype)  # whose sum would overflow
    bad = good.clone()
    bad[1, 1] = value
    tensors = {"a": good, "b": bad, "whole": torch.ones(2, dtype=torch.long), "e": torch.ones(0)}
    assert non_finite(tensors) == ["b"]
    assert non_finite({}) == []


def test_constants_of_a_network_may_be_infinite() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    module.register_buffer("mask", torch.full((2,), -math.inf))
    assert non_finite(learned(module)) == []
    module[1].running_var.fill_(math.inf)
    assert non_finite(learned(module)) == ["1.running_var"]


def test_an_output_that_is_not_finite_names_task_and_image() -> None:
    watch = OutputWatch()
    watch.see("depth", torch.ones(2, 1, 4, 4), {"name": ["a", "b"]})
    watch.check()
    bad = torch.ones(2, 1, 4, 4)
    bad[1, 0, 2, 3] = math.nan
    watch.see("depth", bad, {"name": ["c", "d"]})
    watch.see("normals", torch.ones(1, 3, 2, 2), {"name": ["e"]})
    with pytest.raises(NonFiniteError, match="for depth is not finite on d:"):
        watch.check()
    watch.check()  # forgotten


def test_no_score_comes_from_outputs_that_are_not_finite() -> None:
    tasks = scene_tasks(("depth",))
    evaluator, sample = Evaluator(tasks), Scenes(1)[0]
    batch = {"depth": sample["depth"][None], "name": ["frame 1"]}
    evaluator.update({"depth": [torch.full((1, 1, 32, 64), math.nan)]}, batch)
    with pytest.raises(NonFiniteError, match="depth is not finite on frame 1"):
        evaluator.compute()
    evaluator.reset()
    evaluator.update({"depth": [torch.zeros(1, 1, 32, 64)]}, batch)
    assert math.isfinite(evaluator.compute()["depth/rmse"])
