"""ATRC's exchange: which labels it needs, and how it starts."""

import torch
from torch import nn

from crosstask.models.exchanges.relational import RelationalExchange


def test_which_labels_make_the_tokens() -> None:
    genotype = {
        "a": {"a": "none", "b": "target_label"},
        "b": {"a": "target_label", "b": "source_label"},
    }
    exchange = RelationalExchange(genotype, 6, 4).eval()
    nn.init.ones_(exchange.gather["a"][1].weight)
    assert exchange.labelled_tasks() == ["a", "b"] and exchange.sources("a") == ["b"]
    features = {task: torch.randn(1, 6, 3, 3) for task in "ab"}
    labels = {task: torch.randn(1, 4, 3, 3, requires_grad=True) for task in "ab"}
    out = exchange(features, labels)["a"].sum()
    seen = torch.autograd.grad(out, list(labels.values()), allow_unused=True)
    assert seen[0].abs().sum() > 0 and seen[1] is None
    source = {**genotype, "a": {"a": "none", "b": "source_label"}}
    assert RelationalExchange(source, 6, 4).labelled_tasks() == ["b"]


def test_training_starts_without_exchange() -> None:
    exchange = RelationalExchange(
        {task: dict.fromkeys("ab", "global") for task in "ab"}, 6, 4
    ).eval()
    first = {task: torch.randn(1, 6, 3, 3) for task in "ab"}
    other = {**first, "b": torch.randn(1, 6, 3, 3)}
    assert torch.equal(exchange(first)["a"], exchange(other)["a"])
    nn.init.ones_(exchange.gather["a"][1].weight)
    assert not torch.equal(exchange(first)["a"], exchange(other)["a"])
    with exchange.cut("b", "a", "zero"):
        assert torch.equal(exchange(first)["a"], exchange(other)["a"])
    row = exchange.attention(first, "a", "b", (1, 1))
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(1))
