"""Errors of camera motion: rotation, direction of translation, absolute trajectory error.

Depth and motion learned from one moving camera have no unit of length, so a translation is judged by
its direction, and a trajectory after it has been aligned with the true one (Umeyama 1991).
A pose (4 x 4) maps points of the target camera to the source camera (source <- target), metres.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from crosstask.geometry.photometric import invert_pose

Alignment = Literal["similarity", "rigid", "scale", "none"]
STANDING = 1e-6  # metres: a shorter translation has no direction


def rotation_error(
    prediction: Float[Tensor, "*b 4 4"], target: Float[Tensor, "*b 4 4"]
) -> Float[Tensor, "*b"]:
    """Angle of the rotation that is left between two poses, degrees in [0, 180]."""
    left = prediction[..., :3, :3].mT.double() @ target[..., :3, :3].double()
    axis = torch.stack(
        [
            left[..., 2, 1] - left[..., 1, 2],
            left[..., 0, 2] - left[..., 2, 0],
            left[..., 1, 0] - left[..., 0, 1],
        ],
        dim=-1,
    )
    trace = left.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(axis.norm(dim=-1), trace - 1.0).rad2deg().float()


def translation_direction_error(
    prediction: Float[Tensor, "*b 4 4"], target: Float[Tensor, "*b 4 4"]
) -> tuple[Float[Tensor, "*b"], Bool[Tensor, "*b"]]:
    """Angle between two translations in degrees, and where it exists: where the true camera moved.

    A prediction that stands still has no direction: 90 degrees, what a random one has on average.
    """
    ours, truth = prediction[..., :3, 3].double(), target[..., :3, 3].double()
    angle = torch.atan2(
        torch.linalg.cross(ours, truth, dim=-1).norm(dim=-1), (ours * truth).sum(-1)
    ).rad2deg()
    angle = torch.where(ours.norm(dim=-1) > STANDING, angle, 90.0)
    return angle.float(), truth.norm(dim=-1) > STANDING


def camera_positions(poses: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 3"]:
    """Where each source camera stands in the target camera's frame, metres: ``-R^T t``."""
    return invert_pose(poses)[..., :3, 3]


def trajectory(poses: Float[Tensor, "n 4 4"]) -> Float[Tensor, "n_plus_1 3"]:
    """Camera positions along a sequence, in the first camera's frame.

    Args:
        poses: the n motions next <- current of consecutive frames.
    """
    world = torch.eye(4, dtype=torch.float64, device=poses.device)
    positions = [world[:3, 3]]
    for pose in poses.double():
        world = world @ invert_pose(pose)
        positions.append(world[:3, 3])
    return torch.stack(positions).float()


def align(
    positions: Float[Tensor, "n 3"],
    target: Float[Tensor, "n 3"],
    alignment: Alignment = "similarity",
) -> Float[Tensor, "n 3"]:
    """`positions` moved onto `target` with the least squared error (Umeyama 1991).

    ``"similarity"``: rotation, shift and scale; ``"rigid"``: without scale; ``"scale"``: scale alone,
    about the origin; ``"none"``: as they are.
    """
    if alignment == "none":
        return positions
    ours, truth = positions.double(), target.double()
    if alignment == "scale":
        factor = (ours * truth).sum() / (ours * ours).sum().clamp_min(1e-12)
        return (ours * factor).float()
    our_mean, true_mean = ours.mean(0), truth.mean(0)
    ours, truth = ours - our_mean, truth - true_mean
    u, strength, v = torch.linalg.svd(truth.T @ ours / len(ours))
    signs = torch.ones(3, dtype=torch.float64, device=u.device)
    signs[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(v))
    rotation = u @ torch.diag(signs) @ v
    factor = ours.new_ones(())
    if alignment == "similarity":
        factor = (strength * signs).sum() / (ours * ours).sum(1).mean().clamp_min(1e-12)
    return (factor * ours @ rotation.T + true_mean).float()


def absolute_trajectory_error(
    positions: Float[Tensor, "n 3"],
    target: Float[Tensor, "n 3"],
    alignment: Alignment = "similarity",
) -> Float[Tensor, ""]:
    """Root mean squared distance in metres between two trajectories after alignment."""
    left = align(positions, target, alignment) - target
    return left.square().sum(1).mean().sqrt()


class PoseError(Metric):
    """Mean pose errors over frames and their neighbours.

    `compute` gives ``rotation`` (degrees), ``translation_direction`` (degrees, over the pairs in which
    the camera moved; not a number if it never did) and ``ate``: the absolute trajectory error in metres
    of each frame with its neighbours, after the scale has been aligned, averaged.
    """

    full_state_update = False
    rotation: Tensor
    pairs: Tensor
    direction: Tensor
    moving: Tensor
    ate: Tensor
    snippets: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("rotation", "pairs", "direction", "moving", "ate", "snippets"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self, prediction: Float[Tensor, "b k 4 4"], target: Float[Tensor, "b k 4 4"]
    ) -> None:
        """Adds a batch; both source <- target."""
        angle, moved = translation_direction_error(prediction, target)
        self.rotation += rotation_error(prediction, target).double().sum()
        self.pairs += target.shape[0] * target.shape[1]
        self.direction += angle[moved].double().sum()
        self.moving += moved.sum()
        origin = prediction.new_zeros(1, 3)
        for ours, truth in zip(camera_positions(prediction), camera_positions(target), strict=True):
            ours, truth = torch.cat([origin, ours]), torch.cat([origin, truth])
            self.ate += absolute_trajectory_error(ours, truth, "scale").double()
            self.snippets += 1

    def compute(self) -> dict[str, Tensor]:
        """See the class."""
        return {
            "rotation": (self.rotation / self.pairs).float(),
            "translation_direction": (self.direction / self.moving).float(),
            "ate": (self.ate / self.snippets).float(),
        }


class MeanMotion:
    """The trivial predictor: the mean motion to each neighbour over the training set.

    Translations are averaged; rotations by the rotation nearest to their mean (chordal mean).
    """

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.count = 0

    def update(self, poses: Float[Tensor, "b k 4 4"]) -> None:
        """Adds the true poses of training frames."""
        batch = poses.double().sum(dim=0)
        self.total = batch if self.total is None else self.total + batch
        self.count += len(poses)

    def predict(self, poses: Float[Tensor, "b k 4 4"]) -> Float[Tensor, "b k 4 4"]:
        """The mean motion, in the shape of `poses`, whose values are not looked at.

        Raises:
            RuntimeError: before any `update`.
        """
        if self.total is None:
            raise RuntimeError(
                "`MeanMotion` has seen no poses; expected a training set with poses; call update"
            )
        mean = (self.total / self.count).to(poses.device)
        u, _, v = torch.linalg.svd(mean[:, :3, :3])
        signs = torch.ones(len(mean), 3, dtype=mean.dtype, device=mean.device)
        signs[:, 2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(v))
        mean[:, :3, :3] = u @ torch.diag_embed(signs) @ v
        return mean.float().expand_as(poses).clone()
