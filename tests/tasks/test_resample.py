"""Resizing of label maps, by hand."""

import pytest
import torch

from crosstask.tasks.resample import resize_depth, resize_edges, resize_nearest


def test_nearest_takes_the_centre() -> None:
    """Six columns to two: centres 0.5 and 1.5 lie at 1.5 and 4.5, in the pixels 1 and 4."""
    row = torch.arange(6.0).reshape(1, 1, 6)
    for kind in (torch.float32, torch.uint8, torch.int64):
        assert resize_nearest(row.to(kind), (1, 2)).flatten().tolist() == [1, 4]
    image = torch.rand(2, 13, 17)
    for size in ((5, 40), (13, 3), (26, 17)):  # both ways of computing it agree
        assert torch.equal(
            resize_nearest(image, size), resize_nearest(image.double(), size).float()
        )


def test_depth_between_pixels_by_hand() -> None:
    """Inverse depths 0.5 and 0.48 (2 m and 2.083 m), halfway: 0.49, so 2.041 m; a jump is not mixed."""
    row = torch.tensor([[[1 / 0.5, 1 / 0.48]]])
    assert resize_depth(row, (1, 1)).item() == pytest.approx(1 / 0.49)
    assert resize_depth(torch.tensor([[[2.0, 8.0]]]), (1, 1)).item() in (2.0, 8.0)
    assert resize_depth(torch.tensor([[[2.0, 0.0]]]), (1, 1)).item() in (2.0, 0.0)


def test_thin_edges_survive() -> None:
    edges = torch.zeros(1, 8, 8)
    edges[0, :, 3] = 1
    edges[0, :4, 6:] = 255
    small = resize_edges(edges, (2, 4))
    assert small[0].tolist() == [[0.0, 1.0, 0.0, 255.0], [0.0, 1.0, 0.0, 0.0]]


def test_a_hole_beside_a_jump_is_no_depth_in_between() -> None:
    """Their effects on the measure of spread cancel out for some ratios; 1.83 m was found."""
    for far in torch.linspace(2, 9, 701).tolist():
        depth = torch.tensor([[[1.0, far], [0.0, 1.0]]])
        found = resize_depth(depth, (1, 1)).item()
        assert min(abs(found - known) for known in (0.0, 1.0, far)) < 1e-4, (far, found)
