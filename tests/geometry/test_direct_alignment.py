"""Direct alignment: known motions are found again, and nothing is made worse."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from crosstask.geometry.alignment_scene import Level, Scene
from crosstask.geometry.direct_alignment import DirectAlignment, _noise, pose_distance
from crosstask.geometry.ground_plane import level_ground
from crosstask.geometry.photometric import invert_pose, pose_matrix
from crosstask.geometry.pinhole import unproject
from crosstask.metrics.pose import rotation_error, translation_direction_error
from fakes.sequences import Drives


def drive(count: int = 4, size: tuple[int, int] = (48, 96)) -> dict[str, Tensor]:
    data = Drives(count, size=size)
    batch = default_collate([data[i] for i in range(count)])
    return {k: v for k, v in batch.items() if torch.is_tensor(v)}


def refine(
    batch: dict[str, Tensor], start: Tensor, depth: Tensor | None = None, **options: int
) -> Tensor:
    return DirectAlignment(iterations=8, **options).refine(
        batch["image"],
        batch["neighbours"],
        batch["depth"] if depth is None else depth,
        start,
        batch["intrinsics"],
    )


def errors(found: Tensor, truth: Tensor) -> tuple[float, float]:
    return float(rotation_error(found, truth).max()), float(
        translation_direction_error(found, truth)[0].max()
    )


def test_the_motion_is_found_from_standing_still() -> None:
    batch = drive()
    still = torch.eye(4).expand_as(batch["poses"])
    rotation, direction = errors(refine(batch, still), batch["poses"])
    assert rotation < 0.05 and direction < 1.0
    length = refine(batch, still)[..., :3, 3].norm(dim=-1)
    torch.testing.assert_close(length, batch["poses"][..., :3, 3].norm(dim=-1), rtol=0.03, atol=0)


def test_one_step_solves_for_motions_and_depth_errors_together() -> None:
    """Against the whole system: six numbers a motion, one a pixel, one a grid node."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(3, 3, 4, 5), size=(9, 12), mode="bicubic")
    camera = torch.tensor([[[10.0, 0, 5.5], [0, 11, 4], [0, 0, 1]]])
    depth = 3 + torch.rand(1, 1, 9, 12)
    level = Level(smooth[:1], [smooth[1:2], smooth[2:]], depth, camera)
    aside = pose_matrix(torch.tensor([[0.02, -0.03, 0.01]]), torch.tensor([[1.2, 0.1, 0.2]]))
    poses = torch.stack([torch.eye(4)[None], aside], dim=1)
    solver = DirectAlignment(depth_deviation=0.4, grid=(2, 3), damping=1e-9)
    scene = Scene.of(level, solver.grid)
    nodes, pixels, prior = scene.nodes.double(), 9 * 12, 1 / 0.4**2
    unknowns = 12 + pixels + 6
    normal, right = torch.zeros(unknowns, unknowns).double(), torch.zeros(unknowns).double()
    hidden = 0
    for k, source in enumerate(scene.sources):
        residual, visible, jacobian, along = (
            x[0].double() for x in scene.linearised(source, poses[:, k])
        )
        hidden += int((visible == 0).sum())
        spread = float(_noise(residual[None].float()))
        outlying = residual.square().mean(0) / (4 * spread) ** 2
        weight = visible / ((1 + outlying) * spread) ** 2
        for channel in range(3):
            row = torch.zeros(pixels, unknowns).double()
            row[:, 6 * k : 6 * k + 6] = jacobian[:, channel].T
            row[:, 12 : 12 + pixels] = along[channel].diag()
            row[:, 12 + pixels :] = along[channel][:, None] * nodes.T
            normal += row.T @ (weight[:, None] * row)
            right += row.T @ (weight * residual[channel])
    assert 0 < hidden < pixels
    normal += torch.diag(torch.tensor([1e-6] * 12 + [prior] * (pixels + 6)).double())
    motion = -torch.linalg.solve(normal, right)[:12].view(2, 6).float()
    expected = pose_matrix(motion[:, :3], motion[:, 3:])[None] @ poses
    torch.testing.assert_close(solver._step(scene, poses), expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(("shift", "better"), [(20, True), (80, False)])
def test_a_motion_that_loses_sight_of_the_target_does_not_fit_better(
    shift: int, better: bool
) -> None:
    """What both motions show fits perfectly after the shift; of 96 columns it leaves 76, or 16."""
    torch.manual_seed(0)
    target, source = torch.rand(1, 3, 24, 96), torch.rand(1, 3, 24, 96)
    source[..., shift:] = target[..., : 96 - shift]
    camera = torch.tensor([[[50.0, 0, 47.5], [0, 50, 11.5], [0, 0, 1]]])
    level = Level(target, [source], torch.full((1, 1, 24, 96), 10.0), camera)
    start = torch.eye(4).view(1, 1, 4, 4)
    found = start.clone()
    found[..., 0, 3] = 10.0 * shift / 50
    assert DirectAlignment()._fits_better(level, found, start).item() is better


def test_translation_follows_the_scale_of_depth() -> None:
    batch = drive()
    start = batch["poses"]
    twice = start.clone()
    twice[..., :3, 3] *= 2
    found = refine(batch, twice, 2 * batch["depth"])
    torch.testing.assert_close(found[..., :3, 3], 2 * start[..., :3, 3], atol=0.03, rtol=0.03)


def test_depth_errors_are_allowed_for() -> None:
    batch = drive(6)
    torch.manual_seed(0)
    rough = torch.nn.functional.interpolate(
        torch.randn(6, 1, 6, 12), size=(48, 96), mode="bilinear"
    )
    depth = batch["depth"] * torch.exp(0.25 * rough)
    still = torch.eye(4).expand_as(batch["poses"])
    arguments = (batch["image"], batch["neighbours"], depth, still, batch["intrinsics"])
    trusting = DirectAlignment(depth_deviation=1e-3, iterations=8).refine(*arguments)
    allowing = DirectAlignment(depth_deviation=0.3, iterations=8).refine(*arguments)
    means = [
        float(translation_direction_error(found, batch["poses"])[0].mean())
        for found in (trusting, allowing)
    ]
    assert means[1] < 0.8 * means[0]


def test_outliers_do_not_pull() -> None:
    batch = drive()
    batch["neighbours"] = batch["neighbours"].clone()
    batch["neighbours"][..., 10:30, 20:45] = torch.rand(3, 1, 1)  # something drives by
    still = torch.eye(4).expand_as(batch["poses"])
    rotation, direction = errors(refine(batch, still), batch["poses"])
    assert rotation < 0.3 and direction < 4.0


def test_what_fits_no_better_is_left_alone() -> None:
    batch = drive()
    blank = dict(batch, image=torch.full_like(batch["image"], 0.5))
    blank["neighbours"] = torch.full_like(batch["neighbours"], 0.5)
    start = batch["poses"]
    assert torch.equal(refine(blank, start), start)  # nothing to see
    noise = dict(batch, neighbours=torch.rand_like(batch["neighbours"]))
    found = refine(noise, start)
    assert torch.isfinite(found).all()
    bad = dict(batch, image=batch["image"] * torch.nan)
    assert torch.equal(refine(bad, start), start)
    torch.testing.assert_close(
        found[..., :3, :3] @ found[..., :3, :3].mT, torch.eye(3).expand(4, 2, 3, 3)
    )


@pytest.mark.parametrize("size", [(7, 9), (33, 61), (48, 96)])
def test_any_size(size: tuple[int, int]) -> None:
    batch = drive(2, size)
    found = refine(batch, batch["poses"])
    assert torch.isfinite(found).all()


def test_a_level_ground_by_hand() -> None:
    camera = torch.tensor([[[50.0, 0, 2.5], [0, 40, 1.5], [0, 0, 1]]])
    depth = level_ground(camera, (8, 6), farthest=20.0)
    assert depth.shape == (1, 1, 8, 6)
    assert bool((depth[0, 0, :3] == 20.0).all())  # the third row: 1 / (0.5 / 40) = 80 heights
    torch.testing.assert_close(depth[0, 0, 7], torch.full((6,), 40 / 5.5))
    points = unproject(depth, camera)
    torch.testing.assert_close(points[0, 1, 6:], torch.ones(2, 6))  # one height below the camera


def test_pose_distance_by_hand() -> None:
    depth = torch.full((1, 1, 4, 6), 10.0)
    camera = torch.tensor([[[50.0, 0, 2.5], [0, 40, 1.5], [0, 0, 1]]])
    still = torch.eye(4).view(1, 1, 4, 4)
    aside = pose_matrix(torch.zeros(1, 3), torch.tensor([[0.3, 0.4, 0.0]]))[None]
    expected = ((50 * 0.03) ** 2 + (40 * 0.04) ** 2 + 1e-4) ** 0.5
    assert float(pose_distance(aside, still, depth, camera)) == pytest.approx(expected, rel=1e-4)
    assert float(pose_distance(still, aside, depth, camera)) == pytest.approx(expected, rel=1e-4)
    far = pose_matrix(torch.zeros(1, 3), torch.tensor([[30.0, 0.0, 0.0]]))[None]
    assert float(pose_distance(far, still, depth, camera)) == 10.0
    behind = pose_matrix(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -20.0]]))[None]
    assert torch.isfinite(pose_distance(behind, still, depth, camera))
    back = invert_pose(aside)
    assert float(pose_distance(aside, back, depth, camera)) == pytest.approx(2 * expected, rel=1e-2)


def test_pose_distance_and_its_gradient_are_the_same_under_autocast() -> None:
    batch = drive(2)
    true = batch["poses"].float()
    found = []
    for half in (False, True):
        turn = torch.full((len(true.flatten(0, 1)), 3), 5e-4, requires_grad=True)
        near = pose_matrix(turn, torch.zeros_like(turn)).view_as(true) @ true
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            distance = pose_distance(near, true, batch["depth"], batch["intrinsics"])
        found.append([distance, *torch.autograd.grad(distance, turn)])
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(
    "wrong", [{"levels": 0}, {"iterations": 0}, {"outlier": -1.0}, {"grid": (0, 2)}]
)
def test_bad_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DirectAlignment(**wrong)


def test_a_coarser_level_averages_inverse_depth() -> None:
    """1, 1, 3 and 3 m: 4 / (1 + 1 + 1/3 + 1/3) = 1.5 m, where the mean would be 2 m."""
    depth = torch.tensor([[1.0, 1.0], [3.0, 3.0]]).view(1, 1, 2, 2)
    image = torch.tensor([[0.0, 0.2], [0.4, 1.0]]).expand(1, 3, 2, 2)
    camera = torch.tensor([[[10.0, 0, 0.5], [0, 12, 0.5], [0, 0, 1]]])
    half = Level(image, [image], depth, camera).halved()
    assert half.depth.item() == pytest.approx(1.5)
    assert half.target.flatten().tolist() == pytest.approx([0.4] * 3)
    assert half.neighbours[0].flatten().tolist() == pytest.approx([0.4] * 3)
    # pixel centres are integers: 0.5 between two pixels is the centre 0 of the coarse one
    expected = [[5.0, 0, 0], [0, 6, 0], [0, 0, 1]]
    torch.testing.assert_close(half.intrinsics, torch.tensor([expected]))
