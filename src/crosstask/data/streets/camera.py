"""The pinhole camera of a street scene and how it moves.

World axes: x right, y down, z along the street; the ground is y = 0, so heights are -y.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from crosstask.data.streets.dice import Dice
from crosstask.data.streets.style import Style


@dataclass(frozen=True)
class Camera:
    """Cameras of a batch, in double precision (they are few, and everything is derived from them).

    Attributes:
        position: camera centre in the world, metres.
        rotation: turns camera axes (x right, y down, z forward) into world axes.
        intrinsics: pixels; integer coordinates at pixel centres.
    """

    position: Float64[Tensor, "b 3"]
    rotation: Float64[Tensor, "b 3 3"]
    intrinsics: Float64[Tensor, "b 3 3"]

    def directions(self) -> Float64[Tensor, "b 3 3"]:
        """Matrix from homogeneous pixels (u, v, 1) to world directions of depth 1 along the optical axis."""
        return self.rotation @ torch.linalg.inv(self.intrinsics)

    def pose_to(self, other: "Camera") -> Float[Tensor, "b 4 4"]:
        """Rigid motion that maps points of this camera's frame to the other's."""
        turn = other.rotation.transpose(1, 2)
        pose = torch.eye(4, dtype=torch.float64, device=self.position.device).repeat(
            len(self.position), 1, 1
        )
        pose[:, :3, :3] = turn @ self.rotation
        pose[:, :3, 3:] = turn @ (self.position - other.position)[..., None]
        return pose.float()


def _turn(angle: Float64[Tensor, "b"], first: int, second: int) -> Float64[Tensor, "b 3 3"]:
    matrix = torch.eye(3, dtype=torch.float64, device=angle.device).repeat(len(angle), 1, 1)
    cosine, sine = angle.cos(), angle.sin()
    matrix[:, first, first] = matrix[:, second, second] = cosine
    matrix[:, first, second], matrix[:, second, first] = sine, -sine
    return matrix


def draw_camera(
    dice: Dice,
    style: Style,
    size: tuple[int, int],
    lane: Float[Tensor, "b"],
    time: Float[Tensor, "b"],
) -> Camera:
    """Draw each scene's camera and move it to ``time``.

    Args:
        lane: lateral position of the lane's middle, metres.
        time: in frames; the camera drives on along its heading and turns by at most 3 degrees a frame.
    """
    height, width = size

    def draw(limits: tuple[float, float]) -> Tensor:
        return dice.uniform(1, *limits)[:, 0].double()

    yaw, pitch, roll = (
        torch.deg2rad(draw(limits)) for limits in (style.yaw, style.pitch, style.roll)
    )
    turn, speed = torch.deg2rad(draw((-3.0, 3.0))), draw((0.5, 1.3))
    moment = time.double()
    intrinsics = torch.eye(3, dtype=torch.float64, device=lane.device).repeat(len(lane), 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = draw(style.focal) * width
    intrinsics[:, 0, 2] = (width - 1) / 2 + draw(style.principal) * width
    intrinsics[:, 1, 2] = (height - 1) / 2 + draw(style.principal) * width
    along = yaw + 0.5 * turn * moment
    position = torch.stack(
        (
            lane.double() + draw((-0.35, 0.35)) + along.sin() * speed * moment,
            -draw(style.camera_height),
            along.cos() * speed * moment,
        ),
        dim=1,
    )
    rotation = _turn(yaw + turn * moment, 0, 2) @ _turn(pitch, 1, 2) @ _turn(roll, 0, 1)
    return Camera(position, rotation, intrinsics)
