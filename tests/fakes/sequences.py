"""A tiny sequence dataset whose depth and motion are known: a textured floor and wall, seen in passing."""

from typing import Any

import torch
from torch import Tensor

from crosstask.data.samples import Samples
from crosstask.geometry.photometric import invert_pose, pose_matrix

HEIGHT_ABOVE_FLOOR, WALL = 1.5, 16.0  # metres


def texture(x: Tensor, y: Tensor, phase: Tensor) -> Tensor:
    """Smooth colours on a plane: (3,...) from metres along it."""
    waves = [
        torch.sin(2.1 * x + 0.7 * y + phase),
        torch.cos(1.3 * y - 1.7 * x + phase),
        torch.sin(1.1 * x - phase) * torch.cos(1.9 * y),
    ]
    return 0.5 + 0.4 * torch.stack(waves)


def render(
    pose: Tensor, camera: Tensor, size: tuple[int, int], phase: Tensor
) -> tuple[Tensor, ...]:
    """(image, depth, labels) from the camera at `pose` (camera <- world); the wall is z = WALL."""
    height, width = size
    v, u = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    rays = torch.stack(
        [(u - camera[0, 2]) / camera[0, 0], (v - camera[1, 2]) / camera[1, 1], torch.ones_like(u)]
    )
    back = torch.einsum("ji,jhw->ihw", pose[:3, :3], rays)
    origin = -(pose[:3, :3].T @ pose[:3, 3])
    to_wall = (WALL - origin[2]) / back[2]
    to_floor = (HEIGHT_ABOVE_FLOOR - origin[1]) / back[1]
    floor = (to_floor > 0) & (to_floor < to_wall)
    depth = torch.where(floor, to_floor, to_wall)
    x, y, z = depth * back + origin[:, None, None]
    image = torch.where(floor, texture(x, z, phase), texture(x, y, phase + 1.0))
    return image.clamp(0, 1), depth[None], (~floor).long()


class Drives(Samples):
    """`length` targets with two neighbours each, driving forward with a little turn and sway.

    Args:
        still: the camera does not move.
    """

    modalities = ("segmentation", "depth", "neighbours", "poses")

    def __init__(
        self,
        length: int = 6,
        size: tuple[int, int] = (32, 64),
        offsets: tuple[int, ...] = (-1, 1),
        still: bool = False,
        offset: int = 0,
    ) -> None:
        self.length, self.size, self.offsets = length, size, offsets
        self.still, self.offset = still, offset

    def __len__(self) -> int:
        return self.length

    def describe(self) -> dict[str, Any]:
        return {"source": "drives", "size": self.length}

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index + self.offset)
        height, width = self.size
        focal = 0.9 * width
        camera = torch.tensor(
            [[focal, 0, width / 2 - 1.0], [0, focal, height / 2 + 0.5], [0, 0, 1]]
        )
        draw = torch.rand(4, generator=generator) - 0.5
        phase = 6.0 * torch.rand((), generator=generator)
        turn = torch.stack([0.01 * draw[0], 0.06 * draw[1], torch.tensor(0.0)])
        step = torch.stack(
            [0.3 * draw[2], 0.05 * draw[3], torch.tensor(-0.4)]
        )  # ahead: points come nearer
        forward = torch.eye(4)[None] if self.still else pose_matrix(turn[None], step[None])
        poses = []
        for k in self.offsets:
            one = forward if k > 0 else invert_pose(forward)
            poses.append(torch.linalg.matrix_power(one, abs(k))[0])
        image, depth, labels = render(torch.eye(4), camera, self.size, phase)
        return {
            "image": image,
            "depth": depth,
            "segmentation": labels,
            "neighbours": torch.stack([render(p, camera, self.size, phase)[0] for p in poses]),
            "poses": torch.stack(poses),
            "intrinsics": camera,
            "name": f"drive {index}",
            "source": "drives",
        }
