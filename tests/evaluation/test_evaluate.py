"""Where the evaluator keeps its sums, and how batches come to the device."""

from typing import Any

import pytest
import torch
from torch import nn

from crosstask.evaluation.evaluate import Evaluator, evaluate
from crosstask.tasks import Depth
from fakes.scenes import Scenes


def test_sums_stay_on_the_cpu_where_a_device_has_no_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Evaluator, "without_float64", ("meta",))
    evaluator = Evaluator([Depth()]).to("meta")
    assert all(m.device.type == "cpu" for m in evaluator.metrics.values())
    evaluator.update({"depth": [torch.zeros(1, 1, 2, 2)]}, {"depth": torch.ones(1, 1, 2, 2)})
    assert evaluator.compute()["depth/rmse"] >= 0


class Elsewhere(nn.Identity):
    """A network that says it is on the device that it is asked to go to."""

    def to(self, *args: Any, **kwargs: Any) -> "Elsewhere":
        return self


class Seen(Exception):
    pass


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), ("cuda:1", True)])
def test_images_for_a_gpu_wait_in_pinned_memory(
    monkeypatch: pytest.MonkeyPatch, device: str, pinned: bool
) -> None:
    def loader(dataset: Any, *, pin_memory: bool = False, **options: Any) -> Any:
        assert pin_memory is pinned
        raise Seen

    monkeypatch.setattr("crosstask.evaluation.evaluate.evaluation_loader", loader)
    monkeypatch.setattr(Evaluator, "to", lambda self, device: self)
    with pytest.raises(Seen):
        evaluate(Elsewhere(), [Depth()], Scenes(2), device=device)
