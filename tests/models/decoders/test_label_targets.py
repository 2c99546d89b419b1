"""Targets as class labels."""

import math

import pytest
import torch

from crosstask.models.decoders.label_targets import (
    binary_labels,
    depth_labels,
    facing_directions,
    label_loss,
    normals_labels,
)

# ---- labels -----------------------------------------------------------------------------------------


def test_depth_bins_are_logarithmic() -> None:
    edges = [0.7 * (10 / 0.7) ** (i / 40) for i in (0, 1, 20, 39)]
    depth = torch.tensor([0.0, 0.5, *[e * 1.001 for e in edges], 10.0, 50.0]).view(1, 1, 1, 8)
    assert depth_labels(depth).flatten().tolist() == [255, 0, 0, 1, 20, 39, 39, 39]
    assert depth_labels(torch.full((1, 1, 1, 1), math.inf)).item() == 255
    # the middle of 1 m to 100 m on a logarithmic scale is 10 m
    assert depth_labels(torch.full((1, 1, 1, 1), 10.1), 2, 1.0, 100.0).item() == 1
    assert depth_labels(torch.full((1, 1, 1, 1), 9.9), 2, 1.0, 100.0).item() == 0


def test_directions_are_even_over_the_hemisphere_that_faces_the_camera() -> None:
    directions = facing_directions(40)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(40))
    assert (directions[:, 2] < 0).all()
    # the mean of z over a hemisphere is 1/2, of x and y 0
    assert directions.mean(0).tolist() == pytest.approx([0, 0, -0.5], abs=0.02)
    nearest = (directions @ directions.T - 2 * torch.eye(40)).amax(1).acos().rad2deg()
    # 40 equal areas of 2 pi / 40: as circles 25.7 degrees across
    assert nearest.min() > 15 and nearest.max() < 27


def test_normals_labels_take_the_nearest_direction() -> None:
    directions = facing_directions(40)
    normals = directions.T.reshape(1, 3, 5, 8)
    assert normals_labels(normals, directions).flatten().tolist() == list(range(40))
    assert (normals_labels(torch.zeros(1, 3, 2, 2), directions) == 255).all()


def test_binary_labels_keep_the_void() -> None:
    target = torch.tensor([[[[0.0, 1.0, 255.0]]]])
    assert binary_labels(target).flatten().tolist() == [0, 1, 255]


def test_label_loss_by_hand() -> None:
    logits = torch.zeros(1, 4, 1, 2, requires_grad=True)
    labels = torch.tensor([[[2, 255]]])
    loss = label_loss(logits, labels)
    assert loss.item() == pytest.approx(math.log(4))
    empty = label_loss(logits, torch.full((1, 1, 2), 255))
    empty.backward()
    assert empty.item() == 0 and logits.grad is not None and not logits.grad.any()
    weighted = label_loss(
        torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]), torch.tensor([0.2, 0.8])
    )
    assert weighted.item() == pytest.approx(math.log(2) * (0.2 + 0.8) / 2)
