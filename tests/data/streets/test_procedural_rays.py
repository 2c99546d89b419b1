"""The ray caster against a plain one, against hand-worked numbers, and against the library's geometry."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data.streets import VERSION, Renderer, Street, style_of
from crosstask.data.streets.raycast import GROUND, SKY, trace
from crosstask.data.streets.scene import Scene, draw_scenes
from crosstask.data.streets.style import EASY, HARD, Style
from crosstask.data.streets.tiles import Grid

SIZE = (48, 96)
LEVEL: Style = replace(
    EASY,
    focal=(0.9, 0.9),
    principal=(0.0, 0.0),
    yaw=(0.0, 0.0),
    pitch=(0.0, 0.0),
    roll=(0.0, 0.0),
    camera_height=(1.5, 1.5),
)


def _rays(scene: Scene, size: tuple[int, int]) -> Tensor:
    v, u = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    pixels = torch.stack((u, v, torch.ones_like(u)), dim=-1).double().reshape(-1, 3)
    return pixels @ scene.camera.directions()[0].T


def _nearest_hull(scene: Scene, ray: Tensor) -> Tensor:
    """Depth of the first hull on each ray, by clipping every ray against every half-space."""
    origin = scene.camera.position[0]
    normals, offsets = scene.hulls.normals[0].double(), scene.hulls.offsets[0].double()
    slope = torch.einsum("npc,rc->nrp", normals, ray)
    gap = (offsets - normals @ origin)[:, None]
    at = gap / slope
    enter = torch.where(slope < 0, at, -torch.inf).amax(-1)
    leave = torch.where(slope > 0, at, torch.inf).amin(-1)
    parallel_outside = ((slope == 0) & (gap < 0)).any(-1)
    hit = (enter < leave) & (enter > 0) & ~parallel_outside & scene.hulls.present[0][:, None]
    return torch.where(hit, enter, torch.inf).amin(0)


def _nearest_round(scene: Scene, ray: Tensor) -> Tensor:
    """Depth of the first ellipsoid or rod on each ray, by the quadratic formula and the end planes."""
    matrix, center = scene.rounds.matrix[0].double(), scene.rounds.center[0].double()
    direction = torch.einsum("nij,rj->nri", matrix, ray)
    origin = torch.einsum("nij,nj->ni", matrix, scene.camera.position[0] - center)[:, None]
    weight = torch.ones_like(origin)
    weight[..., 1] = scene.rounds.roundness[0][:, None]
    a = (weight * direction**2).sum(-1)
    b = (weight * direction * origin).sum(-1)
    c = (weight * origin**2).sum(-1) - 1
    root = (b**2 - a * c).clamp(min=0).sqrt()
    first, last = (-b - root) / a, (-b + root) / a
    ends = torch.stack(
        ((-1 - origin[..., 1]) / direction[..., 1], (1 - origin[..., 1]) / direction[..., 1])
    )
    rod = scene.rounds.roundness[0][:, None] == 0
    enter = torch.where(rod, torch.maximum(first, ends.amin(0)), first)
    leave = torch.where(rod, torch.minimum(last, ends.amax(0)), last)
    hit = (b**2 > a * c) & (enter < leave) & (enter > 0) & scene.rounds.present[0][:, None]
    return torch.where(hit, enter, torch.inf).amin(0)


@pytest.mark.parametrize("style", [EASY, HARD], ids=["easy", "hard"])
@pytest.mark.parametrize("seed", [3, 11])
def test_every_ray_meets_what_a_plain_ray_caster_meets(style: Style, seed: int) -> None:
    scene = draw_scenes(torch.tensor([seed]), style, SIZE, torch.zeros(1))
    grid = Grid.over(SIZE, ((0.0, 0.0),), "cpu")
    hits, _, _ = trace(scene, grid)
    inverse = grid.image(hits.inverse_depth.reshape(1, -1), SIZE)[0, 0].reshape(-1).double()
    kind = grid.image(hits.primitive.reshape(1, -1), SIZE)[0, 0].reshape(-1)
    ray = _rays(scene, SIZE)
    ground = torch.where(ray[:, 1] > 0, -scene.camera.position[0, 1] / ray[:, 1], torch.inf)
    hull, ball = _nearest_hull(scene, ray), _nearest_round(scene, ray)
    expected = 1 / torch.minimum(torch.minimum(ground, hull), ball)
    agree = (inverse - expected).abs() < 1e-5 + 1e-4 * expected
    assert agree.double().mean() > 0.999  # silhouettes may fall to either side
    first = torch.stack((hull, ball, ground)).argmin(0)
    found = torch.where(kind >= scene.hulls.present.shape[1], 1, torch.where(kind >= 0, 0, 2))
    assert ((first == found) | (kind == SKY)).double().mean() > 0.998
    assert set(kind.unique().tolist()) >= {GROUND, SKY}


def test_ground_depth_worked_by_hand() -> None:
    # A level camera 1.5 m above the ground, f = 0.9 * 128 = 115.2, c_v = 31.5: the ground in row 63
    # lies at z = 1.5 * 115.2 / (63 - 31.5) = 5.485714 m, whatever the column.
    frame = Renderer(LEVEL, (64, 128))(torch.arange(6))
    assert torch.allclose(
        frame["intrinsics"][0], torch.tensor([[115.2, 0, 63.5], [0, 115.2, 31.5], [0, 0, 1]])
    )
    bottom = frame["segmentation"][:, 63]
    ground = (bottom == Street.ROAD) | (bottom == Street.LANE_MARKING)
    assert ground.float().mean() > 0.4
    assert torch.allclose(frame["depth"][:, 0, 63][ground], torch.tensor(5.485714), atol=1e-4)
    up = frame["normals"][:, :, 63].permute(0, 2, 1)[ground]
    assert torch.allclose(up, torch.tensor([0.0, -1.0, 0.0]).expand_as(up), atol=1e-6)


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_depth_and_normals_agree(difficulty: str) -> None:
    frame = Renderer(style_of(difficulty), (96, 192))(torch.arange(40, 44))
    normals, depth, labels = frame["normals"], frame["depth"], frame["segmentation"]
    derived, valid = geometry.normals_from_depth(depth, frame["intrinsics"], discontinuity=0.004)
    flat = valid[:, 0].clone()
    for axis in (1, 2):
        for shift in (-1, 1):
            same = (normals.roll(shift, axis + 1) * normals).sum(1) > 1 - 1e-6
            flat &= same & (labels.roll(shift, axis) == labels)
    cosine = (derived * normals).sum(1).clamp(-1, 1)[flat]
    angle = torch.rad2deg(torch.arccos(cosine.double()))
    assert flat.float().mean() > 0.5
    assert (angle < 1.0).double().mean() > 0.998
    assert angle.quantile(0.99) < 0.5


def test_normals_are_unit_vectors_that_face_the_camera() -> None:
    frame = Renderer(HARD, SIZE)(torch.arange(4))
    points = geometry.unproject(torch.ones(4, 1, *SIZE), frame["intrinsics"])
    solid = frame["segmentation"] != Street.SKY
    length = frame["normals"].norm(dim=1)
    assert torch.allclose(length[solid], torch.tensor(1.0), atol=1e-4)
    assert (length[~solid] == 0).all() and (~solid).any()
    toward = (points * frame["normals"]).sum(1)[solid]
    assert (toward < 1e-3).float().mean() > 0.9995


def test_sky_and_far_pixels_are_void() -> None:
    near, far = (Renderer(EASY, SIZE, far=limit)(torch.arange(3)) for limit in (30.0, float("inf")))
    sky = near["segmentation"] == Street.SKY
    assert sky.any() and (far["depth"][:, 0][sky] == 0).all()
    assert (far["depth"][:, 0][~sky] > 0).all()
    expected = torch.where(far["depth"] < 30, far["depth"], 0.0)
    assert torch.equal(near["depth"], expected) and near["depth"].max() > 25
    assert torch.equal(near["segmentation"], far["segmentation"])
    assert torch.equal(near["edges"], geometry.edges_from_labels(near["segmentation"]))


# Frozen: streets of version 1. If one of these numbers moves, every cache, every record and every
# comparison between runs is another's: raise `VERSION` and write the new numbers down.
FROZEN: dict[str, dict[str, Any]] = {
    "easy": {
        "counts": [6416, 1280, 3200, 288, 217, 359, 1555, 546, 1256, 75, 16, 973, 47, 156],
        "color": [0.5451, 0.5521, 0.554],
        "depth": 15.013,
        "focal": [118.498, 112.159],
    },
    "hard": {
        "counts": [3389, 1494, 5093, 143, 186, 218, 1279, 715, 2544, 266, 118, 736, 116, 87],
        "color": [0.5478, 0.5607, 0.5965],
        "depth": 15.279,
        "focal": [112.893, 116.733],
    },
}


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_the_streets_of_this_version_are_frozen(difficulty: str) -> None:
    assert VERSION == "1"
    frame = Renderer(style_of(difficulty), (64, 128))(torch.tensor([2024, 7_000_000_000]))
    counts = torch.bincount(frame["segmentation"].flatten(), minlength=14).tolist()
    numbers = {
        "counts": counts,
        "color": [round(v, 4) for v in frame["image"].mean((0, 2, 3)).tolist()],
        "depth": round(frame["depth"].mean().item(), 3),
        "focal": [round(v, 3) for v in frame["intrinsics"][:, 0, 0].tolist()],
    }
    frozen = FROZEN[difficulty]
    assert numbers["counts"] == pytest.approx(frozen["counts"], abs=6)
    assert numbers["color"] == pytest.approx(frozen["color"], abs=5e-4)
    assert numbers["depth"] == pytest.approx(frozen["depth"], abs=0.02)
    assert numbers["focal"] == pytest.approx(frozen["focal"], abs=2e-3)
