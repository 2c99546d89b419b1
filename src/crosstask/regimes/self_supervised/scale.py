"""A length for what one moving camera cannot measure: known speed, or known camera height.

Depth and translation learned from one camera share one unknown factor. Either penalty fixes it while
the photometric loss, which does not see the factor, goes on as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.geometry.ground_plane import ground_distance

Number = float | int


@dataclass(frozen=True, kw_only=True)
class KnownScale:
    """What is known, in metres.

    Args:
        distance: way between consecutive frames; "poses" takes it from the sample's true poses
            (odometry); None: unknown.
        camera_height: height of the camera above a flat ground that fills the lower middle of the
            image; None: unknown.
        weight: of the penalty, relative to the photometric loss.
    """

    distance: Number | Literal["poses"] | None = None
    camera_height: Number | None = None
    weight: Number = 0.05

    def __post_init__(self) -> None:
        for name in ("distance", "camera_height", "weight"):
            value = getattr(self, name)  # a field of this class
            if value not in (None, "poses") and not (isinstance(value, Number) and value > 0):
                raise ValueError(f"`{name}` is {value!r}; expected a positive number of metres")

    def __bool__(self) -> bool:
        return self.distance is not None or self.camera_height is not None

    def penalty(
        self,
        depth: Float[Tensor, "b 1 h w"],
        intrinsics: Float[Tensor, "b 3 3"],
        poses: Float[Tensor, "b k 4 4"],
        true_poses: Float[Tensor, "b k 4 4"] | None,
        offsets: Sequence[int],
    ) -> Float[Tensor, ""]:
        """Mean relative error of the known lengths, times `weight`; 0 where nothing is known."""
        total = depth.new_zeros(())
        if self.distance is not None:
            known = self._distances(poses, true_poses, offsets)
            wrong = (poses[..., :3, 3].norm(dim=-1) - known).abs() / known.mean().clamp_min(1e-6)
            total = total + wrong.mean()
        if self.camera_height is not None:
            height = ground_distance(depth, intrinsics)
            total = total + (height / float(self.camera_height) - 1.0).abs().mean()
        return float(self.weight) * total

    def _distances(
        self, poses: Tensor, true_poses: Tensor | None, offsets: Sequence[int]
    ) -> Tensor:
        if self.distance == "poses":
            if true_poses is None:
                raise ValueError(
                    "`distance` is 'poses', but the batch has no poses; expected a dataset with "
                    "`poses`; give the distance between frames as a number"
                )
            return true_poses[..., :3, 3].norm(dim=-1)
        steps = torch.tensor([abs(o) for o in offsets], dtype=poses.dtype, device=poses.device)
        return (float(self.distance or 0.0) * steps).expand(len(poses), -1)
