"""Segmentation against numbers worked out by hand."""

import math

import pytest
import torch

from crosstask.tasks import ClassTable, Segmentation


def test_cross_entropy_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).T.view(1, 2, 1, 2)
    target = torch.tensor([[[0, 1]]])
    # ln(1 + e^-2) = 0.126928, ln 2 = 0.693147
    assert Segmentation(2).loss(logits, target).item() == pytest.approx(0.4100376, abs=1e-6)
    target = torch.tensor([[[255, 1]]])
    assert Segmentation(2).loss(logits, target).item() == pytest.approx(math.log(2))


def test_foreign_labels_are_named():
    target = torch.tensor([[[0, 7, 255, -1]]])
    with pytest.raises(ValueError, match="label -1, 7; expected 0 to 2, or 255"):
        Segmentation(3).loss(torch.zeros(1, 3, 1, 4), target)


def test_colours_follow_the_table():
    table = ClassTable(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    image = Segmentation(table).colorize(torch.tensor([[0, 1, 255]]))
    assert image[:, 0, :2].T.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_self_information_of_uniform_classes():
    seen = Segmentation(4).alignment_map(torch.zeros(1, 4, 2, 2))
    # 1/4 log2 4 / log2 4 = 1/4 each: the channels sum to 1, the most they can
    assert torch.allclose(seen, torch.full_like(seen, 0.25))


def test_most_frequent_class():
    constant = Segmentation(3).constant()
    constant.update(torch.tensor([[[0, 2, 2, 255, 255, 255]]]))
    assert constant.predict(torch.zeros(1, 1, 2, dtype=torch.int64)).tolist() == [[[2, 2]]]
