"""Saliency and human parts against numbers worked out by hand."""

import math

import pytest
import torch

from crosstask.tasks import HUMAN_PARTS, HumanParts, Saliency


def field(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_balanced_cross_entropy_by_hand():
    target = field(1, 0, 0, 0, 255)
    # three quarters are not salient: (3/4 ln 2 + 3 * 1/4 ln 2) / 4
    assert Saliency().loss(field(0, 0, 0, 0, 9), target).item() == pytest.approx(
        1.5 * math.log(2) / 4
    )
    fixed = Saliency(positive_weight=0.6, logits=2)
    logits = torch.cat([field(1, 0, 0, 0, 0), field(1, 0, 0, 0, 9)], dim=1)
    assert fixed.loss(logits, target).item() == pytest.approx((0.6 + 3 * 0.4) * math.log(2) / 4)


def test_probability_and_colours():
    assert Saliency().decode(field(math.log(3))).item() == pytest.approx(0.75)
    assert Saliency().colorize(field(0, 1)[0])[0].tolist() == [[0, 255]]


def test_human_parts_are_seven_classes():
    assert HumanParts().channels == len(HUMAN_PARTS) == 7
    assert HUMAN_PARTS.names[0] == "background"


def test_wrong_options():
    with pytest.raises(ValueError, match="`logits` is 3"):
        Saliency(logits=3)
    with pytest.raises(ValueError, match="or None"):
        Saliency(positive_weight=0.0)
