"""Pose errors worked out by hand, and trajectories with a known misalignment."""

import math

import pytest
import torch

from crosstask.geometry.photometric import invert_pose, pose_matrix
from crosstask.metrics.pose import (
    MeanMotion,
    PoseError,
    absolute_trajectory_error,
    align,
    camera_positions,
    rotation_error,
    trajectory,
    translation_direction_error,
)


def pose(axis_angle: list[float], translation: list[float]) -> torch.Tensor:
    vector = torch.tensor([axis_angle, translation], dtype=torch.float32)
    return pose_matrix(vector[:1], vector[1:])[0]


@pytest.mark.parametrize("degrees", [0.0, 0.01, 10.0, 120.0, 180.0])
def test_rotation_error_is_the_angle_left(degrees: float) -> None:
    axis = torch.tensor([1.0, 2.0, -2.0]) / 3 * math.radians(degrees)
    base = pose([0.3, -0.2, 0.9], [0, 0, 0])
    turned = base @ pose(axis.tolist(), [5.0, 0, 0])
    assert float(rotation_error(turned, base)) == pytest.approx(degrees, abs=2e-3)


def test_translation_direction_ignores_length() -> None:
    truth = torch.stack(
        [pose([0, 0, 0], t) for t in ([0, 0, 2.0], [0, 0, 2.0], [0, 0, 2.0], [0, 0, 0.0])]
    )
    ours = torch.stack(
        [pose([0, 0, 0], t) for t in ([0, 0, 0.1], [0.1, 0, 0.1], [0.0, 0, 0], [0, 0, 1.0])]
    )
    angle, moved = translation_direction_error(ours, truth)
    assert angle[:3].tolist() == pytest.approx([0.0, 45.0, 90.0], abs=1e-4)
    assert moved.tolist() == [True, True, True, False]
    opposite, _ = translation_direction_error(-ours[:1], truth[:1])
    assert float(opposite) == pytest.approx(180.0)


def test_a_trajectory_around_a_square_closes() -> None:
    # forward 1 m along z, then a quarter turn to the right: next <- current
    turn = pose([0, -math.pi / 2, 0], [0, 0, 0]) @ pose([0, 0, 0], [0, 0, -1.0])
    points = trajectory(turn.expand(4, 4, 4))
    expected = torch.tensor(
        [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]], dtype=torch.float32
    )
    torch.testing.assert_close(points, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(camera_positions(turn[None]), expected[1:2], atol=1e-6, rtol=0)


def test_alignment_takes_away_turn_shift_and_scale_but_no_more() -> None:
    truth = torch.randn(30, 3)
    motion = pose([0.4, 1.0, -0.3], [3.0, -2.0, 7.0])
    moved = 0.2 * truth @ motion[:3, :3].T + motion[:3, 3]
    assert float(absolute_trajectory_error(moved, truth)) == pytest.approx(0.0, abs=1e-4)
    assert float(absolute_trajectory_error(moved, truth, "rigid")) > 0.5
    assert float(absolute_trajectory_error(moved, truth, "none")) > 2.0
    mirrored = truth * torch.tensor([1.0, 1.0, -1.0])
    assert float(absolute_trajectory_error(mirrored, truth)) > 0.3  # a mirror image is another path
    assert float(absolute_trajectory_error(3 * truth, truth, "scale")) == pytest.approx(
        0.0, abs=1e-5
    )


def test_absolute_trajectory_error_by_hand() -> None:
    truth = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]])
    ours = truth + torch.tensor([[0.0, 0, 0], [0, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    assert float(absolute_trajectory_error(ours, truth, "none")) == pytest.approx(0.1)
    shifted = truth + torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(align(shifted, truth, "rigid"), truth, atol=1e-5, rtol=0)


def test_the_metric_by_hand_and_independent_of_batching() -> None:
    truth = torch.stack([pose([0, 0, 0], [0, 0, 1.0]), pose([0, 0, 0], [0, 0, -1.0])])[None]
    turned = math.radians(3)
    ours = torch.stack([pose([0, turned, 0], [0, 0, 0.5]), pose([0, 0, 0], [0, 0.5, -0.5])])[None]
    still = torch.eye(4).expand(1, 2, 4, 4)
    metric = PoseError()
    metric.update(torch.cat([ours, truth]), torch.cat([truth, still]))
    values = metric.compute()
    assert float(values["rotation"]) == pytest.approx(3 / 4, abs=1e-3)
    assert float(values["translation_direction"]) == pytest.approx(
        45 / 2, abs=1e-3
    )  # two pairs moved
    apart = PoseError()
    apart.update(ours, truth)
    apart.update(truth, still)
    assert {k: float(v) for k, v in apart.compute().items()} == pytest.approx(
        {k: float(v) for k, v in values.items()}
    )
    perfect = PoseError()
    perfect.update(truth, truth)
    assert all(float(v) == pytest.approx(0.0, abs=1e-4) for v in perfect.compute().values())


def test_a_path_of_another_scale_has_no_trajectory_error() -> None:
    truth = torch.stack([pose([0, 0.1, 0], [0.1, 0, 1.0]), pose([0, 0, 0.2], [0, 0, -1.5])])[None]
    ours = truth.clone()
    ours[..., :3, 3] *= 0.01
    metric = PoseError()
    metric.update(ours, truth)
    assert float(metric.compute()["ate"]) == pytest.approx(0.0, abs=1e-5)


def test_mean_motion_averages_rotations_on_the_sphere() -> None:
    trivial = MeanMotion()
    with pytest.raises(RuntimeError, match="no poses"):
        trivial.predict(torch.eye(4).expand(1, 1, 4, 4))
    for angle, length in ((0.1, 1.0), (-0.1, 2.0), (0.3, 3.0)):
        trivial.update(pose([0, angle, 0], [0, 0, length])[None, None])
    mean = trivial.predict(torch.zeros(2, 1, 4, 4))
    assert mean.shape == (2, 1, 4, 4)
    expected = pose([0, 0.1, 0], [0, 0, 2.0])
    torch.testing.assert_close(mean[1, 0], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        mean @ invert_pose(mean), torch.eye(4).expand(2, 1, 4, 4), atol=1e-5, rtol=0
    )
