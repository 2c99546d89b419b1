"""Samples that see one plane, with every kind of target."""

import torch

import fakes.own_tasks  # noqa: F401 (declares two targets)
from crosstask import geometry
from crosstask.data.sample import intrinsics_matrix

HEIGHT, WIDTH = 48, 80
BUILT_IN = ("segmentation", "human_parts", "depth", "normals", "edges", "saliency")
TARGETS = (*BUILT_IN, "own_albedo", "own_flow")
TYPED = (*TARGETS, "intrinsics", "poses")  # every key whose type is ours
CAMERA = intrinsics_matrix(70.0, 64.0, 33.0, 27.5)  # off-centre, two focal lengths
PLANES = {  # n . P = d with n facing the camera
    "ground": ((0.0, -1.0, 0.0), -1.5),
    "wall": ((0.8, 0.0, -0.6), -2.0),
    "front": ((0.0, 0.0, -1.0), -7.0),
}


def plane_scene(plane: str) -> dict:
    """A sample that sees one plane; depth and normals are analytic, void where it is not seen."""
    normal, distance = torch.tensor(PLANES[plane][0]), PLANES[plane][1]
    rays = geometry.unproject(torch.ones(1, 1, HEIGHT, WIDTH), CAMERA[None])[0]
    depth = distance / (normal[:, None, None] * rays).sum(0, keepdim=True)
    seen = (depth > 0) & (depth < 50)
    normals = torch.where(seen, normal[:, None, None].expand(3, HEIGHT, WIDTH), 0.0)
    column = torch.arange(WIDTH).expand(HEIGHT, WIDTH)
    return {
        "image": torch.rand(3, HEIGHT, WIDTH),
        "segmentation": (column // 16).to(torch.int64),
        "depth": torch.where(seen, depth, 0.0),
        "normals": normals,
        "edges": (column % 16 == 0)[None].float(),
        "human_parts": (column // 20).to(torch.int64),
        "saliency": (column % 32 < 16)[None].float(),
        "own_albedo": torch.linspace(0, 1, 3 * HEIGHT * WIDTH).view(3, HEIGHT, WIDTH),
        "own_flow": torch.stack([column.float(), 3.0 - column / 7]),
        "intrinsics": CAMERA.clone(),
        "neighbours": torch.rand(2, 3, HEIGHT, WIDTH),
        "poses": torch.stack([rigid(0.1, 0.5), rigid(-0.1, -0.5)]),
        "name": "frame",
        "source": "test",
    }


def rigid(yaw: float, right: float) -> torch.Tensor:
    """A small turn about the vertical axis and a step to the right."""
    angle = torch.tensor(yaw)
    pose = torch.eye(4)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = (
        angle.cos(),
        angle.sin(),
        -angle.sin(),
        angle.cos(),
    )
    pose[0, 3] = right
    return pose
