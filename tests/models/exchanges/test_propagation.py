"""Messages from one scale to the next finer one."""

import pytest
import torch
from torch import nn

from crosstask.models.exchanges.propagation import FeaturePropagation, group_softmax
from models.exchanges.test_sca_task import features


def test_softmax_groups_as_released_and_as_intended() -> None:
    # 4 tasks of 5 channels, task-major; a logit of 20 at one channel silences its group
    owners = torch.arange(20) // 5
    logits = torch.zeros(1, 20, 1, 1)
    weights = group_softmax(logits, 4, "released")
    torch.testing.assert_close(weights, torch.full_like(logits, 0.25))
    groups = []
    for first in range(0, 20, 4):
        logits = torch.zeros(1, 20, 1, 1)
        logits[0, first] = 20.0
        quiet = group_softmax(logits, 4, "released")[0, :, 0, 0] < 0.2
        quiet[first] = True
        groups.append("".join(str(int(t)) for t in owners[quiet]))
    assert groups == ["0000", "0111", "1122", "2223", "3333"]
    logits = torch.randn(2, 20, 3, 3)
    intended = group_softmax(logits, 4, "intended").view(2, 4, 5, 3, 3)
    torch.testing.assert_close(intended.sum(1), torch.ones(2, 5, 3, 3))


@pytest.mark.parametrize("gate", ["convolution", "attention"])
def test_propagation_adds_a_gated_shared_message(gate: str) -> None:
    module = FeaturePropagation(("a", "b"), 6, gate, "intended").eval()  # type: ignore[arg-type]
    given = features(("a", "b"))
    stack = torch.cat(list(given.values()), 1)
    weights = module.gate(stack).view(2, 2, 6, 4, 5).softmax(1).view(2, 12, 4, 5)
    shared = module.merge(weights * stack)
    out = module(given)
    torch.testing.assert_close(out["b"], given["b"] + module.excite["b"](shared))
    # a squeeze-excitation whose last layer is zero halves what it gates
    nn.init.zeros_(module.excite["a"].excite.weight)
    nn.init.zeros_(module.excite["a"].excite.bias)
    torch.testing.assert_close(module(given)["a"], given["a"] + 0.5 * shared)


# ---- across scales --------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["convolution", "attention"])
@pytest.mark.parametrize("grouping", ["released", "intended"])
def test_a_message_without_a_cut_source(gate: str, grouping: str) -> None:
    module = FeaturePropagation(("a", "b", "c"), 8, gate, grouping).eval()
    features = {task: torch.rand(2, 8, 5, 6) for task in "abc"}
    other = {**features, "a": torch.rand(2, 8, 5, 6)}
    whole = module(features)
    with module.cut("a", "b", "zero"):
        first, second = module(features), module(other)
    empty = module({**features, "a": torch.zeros(2, 8, 5, 6)})
    assert torch.equal(first["b"], second["b"]) and torch.equal(first["b"], empty["b"])
    assert not torch.allclose(first["b"], whole["b"])
    assert torch.equal(first["a"], whole["a"]) and torch.equal(first["c"], whole["c"])
    flat = {task: torch.rand(1, 8, 1, 1).repeat(2, 1, 5, 6) for task in "abc"}
    expected = module(flat)["b"]
    with module.cut("a", "b", "mean"), module.cut("c", "b", "mean"):
        torch.testing.assert_close(module(flat)["b"], expected)
