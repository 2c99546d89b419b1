"""View synthesis on scenes whose depth and motion are known, and losses worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from crosstask.geometry.photometric import (
    combine_sources,
    depth_to_disparity,
    disparity_to_depth,
    invert_pose,
    photometric_error,
    pose_matrix,
    smoothness,
    ssim_distance,
    warp,
)

K = torch.tensor([[[60.0, 0.0, 33.5], [0.0, 62.0, 22.25], [0.0, 0.0, 1.0]]])  # off-centre


def texture(points: Tensor) -> Tensor:
    """Smooth colours painted on the plane z = const: (3,H,W) from points (2,H,W) in metres."""
    x, y = points
    waves = [torch.sin(3 * x + y), torch.cos(2 * y - x), torch.sin(2.5 * x) * torch.cos(1.5 * y)]
    return 0.5 + 0.4 * torch.stack(waves)


def plane_view(pose: Tensor, depth: float, height: int = 47, width: int = 65) -> Tensor:
    """The plane z = `depth` of the target frame, rendered by the camera at `pose` (camera <- target)."""
    v, u = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    fx, fy, cx, cy = K[0, 0, 0], K[0, 1, 1], K[0, 0, 2], K[0, 1, 2]
    rays = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)])
    rotation, translation = pose[:3, :3], pose[:3, 3]
    back = torch.einsum("ji,jhw->ihw", rotation, rays)
    shift = rotation.T @ translation
    scale = (depth + shift[2]) / back[2]
    return texture((scale * back - shift[:, None, None])[:2])


@pytest.fixture
def motion() -> Tensor:
    axis_angle = torch.tensor([[0.02, -0.05, 0.03]])
    return pose_matrix(axis_angle, torch.tensor([[0.25, -0.1, -0.4]]))


def test_motions_are_float32_under_autocast(motion: Tensor) -> None:
    axis_angle, translation = torch.tensor([[0.02, -0.05, 0.03]]), torch.tensor([[0.25, -0.1, 1.3]])
    exact = pose_matrix(axis_angle, translation)
    back = invert_pose(exact)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pose_matrix(axis_angle, translation), exact)
        torch.testing.assert_close(invert_pose(exact), back)
    assert invert_pose(motion.double()).dtype == torch.float64
    assert invert_pose(motion.bfloat16()).dtype == torch.float32


def test_a_plane_seen_from_elsewhere_warps_back_onto_the_target(motion: Tensor) -> None:
    depth = 4.0
    target = plane_view(torch.eye(4), depth)[None]
    source = plane_view(motion[0], depth)[None]
    flat = torch.full((1, 1, *target.shape[-2:]), depth)
    seen = warp(source, flat, motion, K)
    inner = seen.visible.expand_as(target)
    assert 0.5 < seen.visible.float().mean() < 1.0  # part of the plane leaves the image
    right = (seen.image - target).abs()[inner].mean()
    unwarped = (source - target).abs().mean()
    assert right < 2e-3
    assert unwarped > 20 * right


def test_the_pose_maps_target_points_to_the_source_and_not_back(motion: Tensor) -> None:
    target, source = plane_view(torch.eye(4), 4.0)[None], plane_view(motion[0], 4.0)[None]
    flat = torch.full((1, 1, *target.shape[-2:]), 4.0)
    wrong = warp(source, flat, invert_pose(motion), K)
    right = warp(source, flat, motion, K)
    shared = (wrong.visible & right.visible).expand_as(target)
    assert (wrong.image - target).abs()[shared].mean() > 50 * (right.image - target).abs()[
        shared
    ].mean()


def test_only_the_true_depth_explains_the_motion(motion: Tensor) -> None:
    target, source = plane_view(torch.eye(4), 4.0)[None], plane_view(motion[0], 4.0)[None]
    errors = {}
    for depth in (2.0, 3.0, 4.0, 5.5, 8.0):
        seen = warp(source, torch.full((1, 1, *target.shape[-2:]), depth), motion, K)
        error = photometric_error(seen.image, target)
        errors[depth] = float(error[seen.visible].mean())
    assert min(errors, key=errors.__getitem__) == 4.0
    # scale is free: twice the depth with twice the translation is the same image
    double = motion.clone()
    double[:, :3, 3] *= 2
    twice = warp(source, torch.full((1, 1, *target.shape[-2:]), 8.0), double, K)
    once = warp(source, torch.full((1, 1, *target.shape[-2:]), 4.0), motion, K)
    torch.testing.assert_close(twice.image, once.image, atol=1e-4, rtol=0)
    torch.testing.assert_close(twice.depth, 2 * once.depth)


def test_half_a_metre_at_five_metres_is_one_pixel_at_focal_length_ten() -> None:
    camera = torch.tensor([[[10.0, 0.0, 1.0], [0.0, 10.0, 1.0], [0.0, 0.0, 1.0]]])
    source = torch.arange(12.0).view(1, 1, 3, 4) / 12
    pose = pose_matrix(torch.zeros(1, 3), torch.tensor([[0.5, 0.0, 0.0]]))
    seen = warp(source, torch.full((1, 1, 3, 4), 5.0), pose, camera)
    torch.testing.assert_close(seen.image[..., :3], source[..., 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        seen.image[..., 3], source[..., 3], atol=1e-5, rtol=0
    )  # border repeated
    assert seen.visible[..., :3].all() and not seen.visible[..., 3].any()


def test_standing_still_returns_the_source_exactly() -> None:
    source = torch.rand(2, 3, 9, 13)
    seen = warp(
        source, torch.rand(2, 1, 9, 13) + 1, torch.eye(4).expand(2, 4, 4), K.expand(2, 3, 3)
    )
    torch.testing.assert_close(seen.image, source, atol=2e-5, rtol=0)
    assert seen.visible.all()


def test_points_behind_the_source_camera_are_not_visible_and_stay_finite() -> None:
    depth = torch.full((1, 1, 8, 8), 1.0, requires_grad=True)
    pose = pose_matrix(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -3.0]]))
    seen = warp(torch.rand(1, 3, 8, 8), depth, pose, K)
    assert not seen.visible.any()
    seen.image.sum().backward()
    assert torch.isfinite(seen.image).all() and torch.isfinite(depth.grad).all()


def test_gradients_of_depth_and_pose_point_downhill(motion: Tensor) -> None:
    target, source = plane_view(torch.eye(4), 4.0)[None], plane_view(motion[0], 4.0)[None]
    guess = torch.tensor(5.0, requires_grad=True)
    vector = torch.zeros(1, 6, requires_grad=True)
    optimizer = torch.optim.Adam([vector], lr=0.02)
    for _ in range(130):
        seen = warp(
            source,
            guess.detach().expand(1, 1, 47, 65),
            pose_matrix(vector[:, :3], vector[:, 3:]),
            K,
        )
        loss = photometric_error(seen.image, target)[seen.visible].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = pose_matrix(vector[:, :3], vector[:, 3:]).detach()
    # at 5/4 of the true depth the translation comes out 5/4 as long
    torch.testing.assert_close(found[0, :3, 3], 1.25 * motion[0, :3, 3], atol=0.07, rtol=0)
    torch.testing.assert_close(found[0, :3, :3], motion[0, :3, :3], atol=0.01, rtol=0)
    seen = warp(source, guess.expand(1, 1, 47, 65), motion, K)
    (gradient,) = torch.autograd.grad(photometric_error(seen.image, target).mean(), guess)
    assert gradient > 0  # 5 m is too far with the true motion


def test_each_sample_of_a_batch_uses_its_own_camera_and_pose(motion: Tensor) -> None:
    source = torch.rand(1, 3, 21, 33)
    depth = torch.rand(1, 1, 21, 33) * 5 + 1
    other = K.clone()
    other[:, 0, 0] = 45.0
    both = warp(
        source.expand(2, -1, -1, -1),
        depth.expand(2, -1, -1, -1),
        torch.cat([motion, invert_pose(motion)]),
        torch.cat([K, other]),
    )
    first = warp(source, depth, motion, K)
    second = warp(source, depth, invert_pose(motion), other)
    torch.testing.assert_close(both.image, torch.cat([first.image, second.image]))
    assert not torch.allclose(first.image, second.image)


def test_a_quarter_turn_about_z_and_its_inverse() -> None:
    pose = pose_matrix(torch.tensor([[0.0, 0.0, math.pi / 2]]), torch.tensor([[1.0, 2.0, 3.0]]))
    expected = torch.tensor([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    torch.testing.assert_close(pose[0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(invert_pose(pose) @ pose, torch.eye(4)[None], atol=1e-6, rtol=0)
    still = torch.zeros(1, 3, requires_grad=True)
    pose_matrix(still, torch.zeros(1, 3)).sum().backward()
    assert torch.isfinite(still.grad).all()  # no motion is where training starts


def test_disparity_bounds_the_depth() -> None:
    depth = disparity_to_depth(torch.tensor([0.0, 1.0, 0.5]))
    torch.testing.assert_close(depth, torch.tensor([100.0, 0.1, 1 / 5.005]))
    values = torch.tensor([0.1, 0.7, 3.0, 42.0, 100.0])
    torch.testing.assert_close(
        disparity_to_depth(depth_to_disparity(values)), values, rtol=1e-4, atol=0
    )


def test_ssim_of_two_flat_images_by_hand() -> None:
    dark, bright = torch.full((1, 3, 5, 5), 0.2), torch.full((1, 3, 5, 5), 0.6)
    # variances are 0: SSIM = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4) = 0.2401 / 0.4001
    expected = (1 - 0.2401 / 0.4001) / 2
    torch.testing.assert_close(
        ssim_distance(dark, bright), torch.full((1, 3, 5, 5), expected), atol=1e-4, rtol=0
    )
    mixed = photometric_error(dark, bright)
    torch.testing.assert_close(
        mixed, torch.full((1, 1, 5, 5), 0.85 * expected + 0.15 * 0.4), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(photometric_error(dark, bright, 0.0), torch.full((1, 1, 5, 5), 0.4))


def test_ssim_of_one_window_by_hand() -> None:
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 0.9
    y = torch.zeros(1, 1, 3, 3)
    y[0, 0, 1, 1] = 0.45
    # centre window: means 0.1 and 0.05; variances 0.09 - 0.01 and 0.0225 - 0.0025; covariance 0.045 - 0.005
    ssim = (2 * 0.005 + 1e-4) * (2 * 0.04 + 9e-4) / ((0.0125 + 1e-4) * (0.08 + 0.02 + 9e-4))
    assert float(ssim_distance(x, y)[0, 0, 1, 1]) == pytest.approx((1 - ssim) / 2, abs=1e-5)
    assert float(ssim_distance(x, x).abs().max()) == pytest.approx(0.0, abs=1e-5)


def everywhere(errors: Tensor) -> Tensor:
    return torch.ones_like(errors, dtype=torch.bool)


def test_minimum_and_mean_over_sources() -> None:
    errors = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1)
    assert float(combine_sources(errors, everywhere(errors), "minimum").error) == pytest.approx(0.2)
    assert float(combine_sources(errors, everywhere(errors), "mean").error) == pytest.approx(0.4)
    half = torch.tensor([False, True]).view(1, 2, 1, 1)
    for rule in ("minimum", "mean"):
        assert float(combine_sources(errors, half, rule).error) == pytest.approx(0.6)
        nowhere = combine_sources(errors, ~everywhere(errors), rule)
        assert float(nowhere.error) == 0.0 and not nowhere.counted.any()


def test_the_auto_mask_lets_a_still_pixel_teach_nothing() -> None:
    errors = torch.tensor([[0.3, 0.3], [0.5, 0.5]]).view(1, 2, 1, 2).requires_grad_()
    identity = torch.tensor([[0.1, 0.4], [0.2, 0.9]]).view(1, 2, 1, 2)
    result = combine_sources(errors, everywhere(errors), "minimum", identity)
    assert result.moving.flatten().tolist() == [False, True]
    torch.testing.assert_close(result.error.flatten(), torch.tensor([0.1, 0.3]), atol=1e-3, rtol=0)
    result.error.sum().backward()
    assert errors.grad.flatten().tolist() == [0.0, 1.0, 0.0, 0.0]
    mean = combine_sources(errors, everywhere(errors), "mean", identity)
    torch.testing.assert_close(mean.error.flatten(), torch.tensor([0.15, 0.4]), atol=1e-3, rtol=0)


def test_noise_breaks_the_tie_of_a_static_video() -> None:
    errors = torch.full((1, 2, 40, 40), 0.25)
    result = combine_sources(errors, everywhere(errors), "minimum", errors.clone())
    share = float(result.moving.float().mean())
    assert (
        0.1 < share < 0.5
    )  # the minimum of two normal numbers is above 0 in a quarter of the cases
    exact = combine_sources(errors, everywhere(errors), "minimum", errors.clone(), noise=0.0)
    assert exact.moving.all()


def test_smoothness_by_hand() -> None:
    disparity = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)  # mean 2: a step of 1 after normalisation
    flat = torch.full((1, 3, 1, 2), 0.5)
    assert float(smoothness(disparity, flat)) == pytest.approx(1.0)
    edge = flat.clone()
    edge[..., 1] += math.log(2)  # an edge that halves the penalty
    assert float(smoothness(disparity, edge)) == pytest.approx(0.5)
    assert float(smoothness(10 * disparity, flat)) == pytest.approx(1.0)
    square = torch.tensor([[1.0, 1.0], [3.0, 3.0]]).view(1, 1, 2, 2)
    assert float(smoothness(square, torch.full((1, 3, 2, 2), 0.5))) == pytest.approx(1.0)


def test_smoothness_normalises_each_image_by_itself() -> None:
    """A step of 1 after normalisation, and a near wall without one: 1 and 0, whatever the wall's disparity."""
    step = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    wall, image = torch.full_like(step, 20.0), torch.full((2, 3, 1, 2), 0.5)
    assert float(smoothness(torch.cat([step, wall]), image)) == pytest.approx(0.5)
