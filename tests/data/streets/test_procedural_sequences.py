"""Neighbouring frames: poses, motion, and what warping with the truth gains."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from crosstask import geometry
from crosstask.data import ProceduralStreets
from crosstask.data.streets import Renderer, style_of
from crosstask.data.streets.scene import draw_scenes
from crosstask.data.streets.style import EASY

SIZE = (128, 256)


def _warp(image: Tensor, pixels: Tensor) -> Tensor:
    size = torch.tensor([image.shape[-1], image.shape[-2]]).view(1, 2, 1, 1)
    grid = ((pixels + 0.5) * 2 / size - 1).permute(0, 2, 3, 1)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("offset", [-1, 1])
def test_true_depth_and_pose_explain_the_neighbour(offset: int) -> None:
    renderer = Renderer(style_of("easy"), SIZE)
    seeds = torch.arange(500, 504)
    now = renderer(seeds, (offset,), motion=True)
    then = renderer(seeds, time=offset)
    assert torch.equal(now["neighbours"][:, 0], then["image"])
    points = geometry.unproject(now["depth"], now["intrinsics"]).flatten(2)
    pose = now["poses"][:, 0]
    moved = (pose[:, :3, :3] @ points + pose[:, :3, 3:]).unflatten(2, SIZE)
    pixels = geometry.project(moved, then["intrinsics"])
    depth_there = _warp(then["depth"], pixels)
    inside = (pixels >= 0).all(1) & (pixels[:, 0] <= SIZE[1] - 1) & (pixels[:, 1] <= SIZE[0] - 1)
    visible = (depth_there - moved[:, 2:]).abs() < 0.02 * moved[:, 2:]
    near = (now["depth"] > 0) & (now["depth"] < 40)
    used = (inside[:, None] & visible & near & ~now["moving"]).expand(-1, 3, -1, -1)
    before = (then["image"] - now["image"]).abs()[used].mean()
    after = (_warp(then["image"], pixels) - now["image"]).abs()[used].mean()
    assert used.float().mean() > 0.4
    assert before > 3 * after


def test_poses_are_forward_motion_and_a_small_turn() -> None:
    seeds = torch.arange(300)
    cameras = {
        time: draw_scenes(seeds, EASY, (32, 64), torch.full((300,), float(time))).camera
        for time in (-1, 0, 1, 2)
    }
    back, ahead, twice = (cameras[0].pose_to(cameras[time]) for time in (-1, 1, 2))
    turn = ahead[:, :3, :3]
    assert torch.allclose(turn @ turn.transpose(1, 2), torch.eye(3).expand_as(turn), atol=1e-5)

    def angle(pose: Tensor) -> Tensor:
        trace = pose[:, :3, :3].diagonal(dim1=1, dim2=2).sum(-1).double()
        return torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))

    assert (angle(ahead) <= 3.001).all() and angle(ahead).max() > 2.9
    assert 1.35 < angle(ahead).mean() < 1.65  # uniform within 3 degrees: 1.5 on average
    assert torch.allclose(angle(twice), 2 * angle(ahead), atol=0.05)
    # what lies ahead comes nearer by the 0.5 to 1.3 m that are driven in a frame
    assert (ahead[:, 2, 3] < -0.45).all() and (ahead[:, 2, 3] > -1.31).all()
    assert (back[:, 2, 3] > 0.45).all() and (back[:, 2, 3] < 1.31).all()


def test_a_dataset_gives_neighbours_in_the_order_of_its_offsets() -> None:
    options: dict[str, Any] = {"size": (32, 64), "length": 3}
    sample = ProceduralStreets("train", ("neighbours", "poses"), offsets=(2, -1), **options)[1]
    assert sample["neighbours"].shape == (2, 3, 32, 64) and sample["poses"].shape == (2, 4, 4)
    other = ProceduralStreets("train", ("neighbours", "poses"), **options)[1]
    assert torch.equal(sample["neighbours"][1], other["neighbours"][0])
    assert torch.equal(sample["poses"][1], other["poses"][0])
    assert sample["poses"][0, 2, 3] < 0 < sample["poses"][1, 2, 3]


def test_vehicles_and_people_move_by_themselves() -> None:
    renderer = Renderer(style_of("easy"), (64, 128))
    frame = renderer(torch.arange(12), motion=True)
    moving = frame["moving"][:, 0]
    names = {9, 10, 11, 12}  # pedestrian, bicyclist, car, truck
    assert set(frame["segmentation"][moving].unique().tolist()) <= names
    cars = frame["segmentation"] == 11
    assert 0 < (moving & cars).sum() < cars.sum()  # parked ones stand still
