"""SCA-MTL's attention across tasks against its equation."""

import pytest
import torch
from torch import Tensor

from crosstask.models.exchanges.sca_task import AllPairsAttention, TaskAttention

# ---- across tasks ---------------------------------------------------------------------------------


def features(tasks=("a", "b", "c"), channels: int = 6, size=(4, 5)) -> dict[str, Tensor]:
    return {task: torch.randn(2, channels, *size) for task in tasks}


def test_task_attention_is_its_equation() -> None:
    exchange = TaskAttention(("a", "b", "c"), 6).eval()
    given = features()
    own = given["b"]
    parts = [own, exchange.directions["b"]["a"](own, given["a"])]
    parts += [own, exchange.directions["b"]["c"](own, given["c"])]
    torch.testing.assert_close(exchange(given)["b"], own + exchange.reduce(torch.cat(parts, 1)))


def test_a_cut_direction_says_nothing() -> None:
    exchange = TaskAttention(("a", "b", "c"), 6).eval()
    given = features()
    given["a"].requires_grad_(True)
    with exchange.cut("a", "b", "zero"):
        out = exchange(given)
        assert torch.autograd.grad(out["b"].sum(), given["a"], allow_unused=True)[0] is None
    assert torch.autograd.grad(exchange(given)["b"].sum(), given["a"])[0].abs().sum() > 0
    row = exchange.attention(given, "b", "a", (1, 2))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(2))
    with pytest.raises(ValueError, match="does not exist"):
        exchange.attention(given, "b", "b", (0, 0))


def test_all_pairs_reads_every_other_map_of_every_scale() -> None:
    exchange = AllPairsAttention(("a", "b"), (6, 8)).eval()
    assert len(exchange.pairs) == 4 * 3  # M K (M K - 1)
    given = {
        task: [
            torch.randn(1, 6, 4, 4, requires_grad=True),
            torch.randn(1, 8, 2, 2, requires_grad=True),
        ]
        for task in ("a", "b")
    }
    out = exchange(given)
    for target, k in (("a", 0), ("b", 1)):
        assert out[target][k].shape == given[target][k].shape
        maps = [x for task in given.values() for x in task]
        gradients = torch.autograd.grad(out[target][k].sum(), maps, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in gradients)
