"""Where the evaluator keeps its sums."""

import pytest
import torch

from crosstask.evaluation import Evaluator
from crosstask.tasks import Depth


def test_sums_stay_on_the_cpu_where_a_device_has_no_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Evaluator, "without_float64", ("meta",))
    evaluator = Evaluator([Depth()]).to("meta")
    assert all(m.device.type == "cpu" for m in evaluator.metrics.values())
    evaluator.update({"depth": [torch.zeros(1, 1, 2, 2)]}, {"depth": torch.ones(1, 1, 2, 2)})
    assert evaluator.compute()["depth/rmse"] >= 0
