"""Edges against numbers worked out by hand."""

import math

import pytest
import torch

from crosstask.tasks import Edges


def field(*values):
    return torch.tensor(values).view(1, 1, 1, -1)


def test_weighted_cross_entropy_by_hand():
    odds = field(0.0, math.log(3), 5.0)
    target = field(1.0, 0.0, 255.0)
    # edge: 0.95 ln 2; background at p = 3/4: 0.05 ln 4; divided by 0.95 + 0.05
    expected = 0.95 * math.log(2) + 0.05 * math.log(4)
    assert Edges(logits=1).loss(odds, target).item() == pytest.approx(expected, rel=1e-6)
    two = torch.cat([torch.full_like(odds, 1.0), odds + 1], dim=1)
    assert Edges().loss(two, target).item() == pytest.approx(expected, rel=1e-6)
    assert Edges().normalizer(target).item() == pytest.approx(1.0)


def test_two_logits_are_the_usual_weighted_cross_entropy():
    logits = torch.randn(2, 2, 5, 6)
    target = (torch.rand(2, 1, 5, 6) < 0.2).float()
    weight = torch.tensor([0.1, 0.9])
    theirs = torch.nn.functional.cross_entropy(logits, target[:, 0].long(), weight=weight)
    assert torch.allclose(Edges(positive_weight=0.9).loss(logits, target), theirs, rtol=1e-5)


def test_probability():
    assert Edges(logits=1).decode(field(math.log(3))).item() == pytest.approx(0.75)
    two = torch.tensor([1.0, 1.0 + math.log(3)]).view(1, 2, 1, 1)
    assert Edges().decode(two).item() == pytest.approx(0.75)


def test_edge_rate_per_pixel():
    constant = Edges().constant()
    constant.update(field(1.0, 0.0))
    constant.update(field(0.0, 255.0))
    assert constant.predict(field(0.0, 0.0)).flatten().tolist() == [0.5, 0.0]


def test_wrong_options():
    with pytest.raises(ValueError, match="`logits` is 3"):
        Edges(logits=3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Edges(positive_weight=1.0)
