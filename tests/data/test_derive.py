"""Targets that are computed from others."""

import pytest
import torch

from crosstask import geometry
from crosstask.data.derive import close_margins, depth_to_normals, labels_to_edges, smooth_depth
from crosstask.data.sample import unknown_intrinsics

RING = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))


def test_normals_are_the_eight_cross_products() -> None:
    """The closed form against the definition, pixel by pixel, with a skewed camera."""
    camera = torch.tensor([[50.0, 1.5, 3.0], [0.0, 60.0, 9.0], [0.0, 0.0, 1.0]])
    depth = 3 + 0.03 * torch.rand(1, 1, 7, 9)
    points = geometry.unproject(depth, camera[None])[0]
    normals, valid = geometry.normals_from_depth(depth, camera[None])
    assert bool(valid[0, 0, 1:-1, 1:-1].all())
    for row in range(1, 6):
        for column in range(1, 8):
            around = [
                points[:, row + down, column + right] - points[:, row, column]
                for right, down in RING
            ]
            total = sum(torch.linalg.cross(around[k], around[(k + 2) % 8]) for k in range(8))
            expected = torch.nn.functional.normalize(total, dim=0)
            assert torch.allclose(normals[0, :, row, column], expected, atol=1e-5)
            assert float(expected @ points[:, row, column]) < 0  # faces the camera


def test_unknown_camera_gives_no_normals() -> None:
    assert not bool(depth_to_normals(torch.ones(1, 8, 8), unknown_intrinsics(), (8, 8)).any())


def test_native_depth_beside_a_resized_image() -> None:
    """The camera belongs to the image; a depth map of twice its size needs twice the focal length."""
    camera = torch.tensor([[50.0, 0.0, 19.5], [0.0, 50.0, 14.5], [0.0, 0.0, 1.0]])
    large = geometry.scale_intrinsics(camera, 2, 2)
    rays = geometry.unproject(torch.ones(1, 1, 60, 80), large[None])[0]
    normal = torch.tensor([0.6, 0.0, -0.8])
    depth = -2.0 / (normal.view(3, 1, 1) * rays).sum(0, keepdim=True)
    result = depth_to_normals(depth, camera, (30, 40))[:, 2:-2, 2:-2].reshape(3, -1)
    assert torch.allclose(result, normal[:, None].expand_as(result), atol=1e-3)


def test_edges_by_hand() -> None:
    """Both pixels beside a boundary; unknown beside the unlabelled."""
    segmentation = torch.tensor([[0, 0, 1, 1, 1, 255]])
    assert labels_to_edges(segmentation).tolist() == [[[0, 1, 1, 0, 255, 255]]]


def test_margins_are_closed_by_hand() -> None:
    """Five columns of void between objects are closed at their middle; six are not, nor a border."""
    labels = torch.full((24, 40), 3)
    labels[:, 12:] = 255
    labels[:, 17:28] = 4
    labels[:, 34:] = 5
    labels[:, 37:] = 255
    row = close_margins(labels, 5)[12].tolist()
    assert row == [3] * 14 + [row[14]] + [4] * 13 + [255] * 6 + [5] * 3 + [255] * 3
    assert row[14] in (3, 4)
    assert bool((close_margins(labels, 6)[12, 28:34] != 255).all())
    assert torch.equal(close_margins(labels, 0), labels)
    assert bool((close_margins(torch.full((8, 8), 255), 5) == 255).all())


def test_smoothing_of_noisy_disparity() -> None:
    """A road of a stereo camera at half of 1024x2048: a quarter of a pixel of noise, radius 2."""
    camera = torch.tensor([[1131.0, 0.0, 512.0], [0.0, 1131.0, 10.0], [0.0, 0.0, 1.0]])
    rows = torch.arange(120.0)[:, None].expand(120, 160) + 60
    exact = (1.2 * 1131 / (rows - 10))[None]
    scale = 0.209 * 1131
    noise = torch.randn(1, 120, 160, generator=torch.Generator().manual_seed(0)) / 4
    noisy = scale / (scale / exact + noise)
    off = []
    for radius in (0, 2):
        normals = depth_to_normals(smooth_depth(noisy, radius), camera, (120, 160))
        known = normals[:, normals.any(0)]
        off.append(float((-known[1]).clamp(-1, 1).acos().rad2deg().mean()))
    assert off[1] < 0.5 * off[0]


def test_smoothing_fills_no_hole_beside_a_jump() -> None:
    """One hole and a jump whose spread makes up for it: (8/9)^2 E[z] E[1/z] = 1."""
    sum_of_ratios = 4 * (81 / 64) - 2  # d + 1/d of four pixels at 1 m and four at d
    far = (sum_of_ratios + (sum_of_ratios**2 - 4) ** 0.5) / 2
    depth = torch.tensor([[[1, 1, 1], [1, 0, far], [far, far, far]]])
    assert torch.equal(smooth_depth(depth, 1), depth)
    whole = torch.tensor([[[2.0, 2, 2], [2, 2.02, 2], [2, 2, 2]]])
    assert smooth_depth(whole, 1)[0, 1, 1] == pytest.approx(2.002, abs=1e-3)
