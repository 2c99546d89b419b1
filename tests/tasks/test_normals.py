"""Normals against numbers worked out by hand."""

import pytest
import torch

from crosstask.tasks import Normals


def vectors(*rows):
    return torch.tensor(rows, dtype=torch.float32).T.reshape(1, 3, 1, -1)


def test_cosine_by_hand():
    output = vectors((0, 0, -2), (5, 0, 0), (1, 1, 0))
    target = vectors((0, 0, -1), (-1, 0, 0), (0, 0, 0))
    # equal direction 0, opposite 2, void does not count
    assert Normals().loss(output, target).item() == pytest.approx(1.0)
    # 60 degrees: 1 - 1/2
    sixty = vectors((0.5, 0, -(0.75**0.5)))
    assert Normals().loss(sixty, vectors((1, 0, 0))).item() == pytest.approx(0.5)


def test_flip_negates_x():
    target = vectors((0.6, 0, -0.8), (0, 1, 0))
    assert Normals().hflip(target).equal(vectors((0, 1, 0), (-0.6, 0, -0.8)))


def test_decoding():
    decoded = Normals().decode(vectors((3, 0, -4), (0, 0, 0)))
    assert torch.allclose(decoded, vectors((0.6, 0, -0.8), (0, 0, -1)))


def test_blurred_holes_stay_holes():
    target = vectors((0.004, -0.004, 0.004), (0, 0, -0.99))
    assert Normals().valid(target).flatten().tolist() == [False, True]


def test_colours_look_as_usual():
    image = Normals().colorize(vectors((0, 0, -1), (0, -1, 0), (1, 0, 0))[0])
    assert image[:, 0].T.tolist() == [[128, 128, 255], [128, 255, 128], [255, 128, 128]]


def test_mean_normal_is_a_unit_vector():
    constant = Normals().constant()
    constant.update(vectors((1, 0, 0)))
    constant.update(vectors((0, -1, 0)))
    mean = constant.predict(vectors((0, 0, 0)))
    assert torch.allclose(mean, vectors((0.5**0.5, -(0.5**0.5), 0)))
