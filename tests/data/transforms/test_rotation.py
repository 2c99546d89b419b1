"""Random rotation: labels, camera, normals and poses say the same of the turned image."""

import pytest
import torch

from crosstask import geometry
from crosstask.data import transforms
from crosstask.data.derive import depth_to_normals
from crosstask.data.sample import DataError, check_sample, intrinsics_matrix, unknown_intrinsics
from crosstask.data.transforms.rotation import RandomRotation, in_plane, rolled
from crosstask.data.transforms.tensor_types import wrap

CAMERA = intrinsics_matrix(70.0, 50.0, 33.0, 27.5)  # off-centre, two focal lengths
NORMAL = torch.tensor([0.6, 0.0, -0.8])
SIZE = (48, 80)


def wall() -> dict:
    """A sample that sees one slanted wall; depth and normals are analytic."""
    rays = geometry.unproject(torch.ones(1, 1, *SIZE), CAMERA[None])[0]
    depth = -2.0 / (NORMAL[:, None, None] * rays).sum(0, keepdim=True)
    seen = (depth > 0) & (depth < 50)
    column = torch.arange(SIZE[1]).expand(SIZE)
    return {
        "image": torch.rand(3, *SIZE),
        "segmentation": (column // 16).to(torch.int64),
        "depth": torch.where(seen, depth, 0.0),
        "normals": torch.where(seen, NORMAL[:, None, None], 0.0),
        "edges": (column % 16 == 0)[None].float(),
        "intrinsics": CAMERA.clone(),
        "neighbours": torch.rand(2, 3, *SIZE),
        "poses": torch.eye(4).repeat(2, 1, 1),
        "name": "frame",
        "source": "test",
    }


@pytest.mark.parametrize("angle", [20.0, -35.0, 90.0])
def test_camera_follows_exactly(angle: float) -> None:
    """The ray of a turned pixel under the new camera is the turned ray."""
    pixel = torch.tensor([[12.0, 61.0], [40.0, 5.0]])
    middle = torch.tensor([[39.5], [23.5]])
    matrix, roll = rolled(CAMERA, in_plane(angle), SIZE)
    ones = torch.ones(1, 2)
    before = torch.linalg.inv(CAMERA) @ torch.cat([pixel, ones])
    moved = in_plane(angle) @ (pixel - middle) + middle
    after = torch.linalg.inv(matrix) @ torch.cat([moved, ones])
    assert torch.allclose(after[:2], roll @ before[:2], atol=1e-5)
    assert torch.allclose(roll @ roll.mT, torch.eye(2), atol=1e-6)
    assert float(matrix[1, 0]) == 0 and bool((matrix.diagonal() > 0).all())
    square = intrinsics_matrix(60.0, 60.0, 39.5, 23.5)
    assert torch.allclose(rolled(square, in_plane(angle), SIZE)[0], square, atol=1e-4)


def test_turning_is_counter_clockwise_by_hand() -> None:
    """What lay to the right of the middle lies above it after a quarter turn; its normal too."""
    sample = wall() | {"segmentation": torch.zeros(SIZE, dtype=torch.int64)}
    sample["segmentation"][20:28, 55:60] = 3
    step = RandomRotation(0)
    step.make_params = lambda _: {"angle": 90.0, "pixels": in_plane(90), "roll": in_plane(90)}
    out = transforms.JointTransform([step])(sample)
    rows, columns = torch.nonzero(out["segmentation"] == 3, as_tuple=True)
    assert float(rows.float().mean()) == pytest.approx(23.5 - (57 - 39.5), abs=0.6)
    assert float(columns.float().mean()) == pytest.approx(39.5 + (23.5 - 23.5), abs=0.6)
    assert torch.allclose(out["normals"][:, 24, 40], torch.tensor([0.0, -0.6, -0.8]), atol=1e-5)


def test_normals_turn_as_the_axes_do_and_labels_as_the_pixels_do() -> None:
    """By hand: with fx = sqrt(3) fy an image that turns by 45 degrees turns the axes by 60."""
    sample = wall() | {"intrinsics": intrinsics_matrix(50.0 * 3**0.5, 50.0, 39.5, 23.5)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", lambda drawn, *_: drawn.fill_(45.0))
        out = transforms.JointTransform([RandomRotation(45.0)])(sample)
    cosine, sine = 0.5, 3**0.5 / 2
    expected = torch.tensor([0.6 * cosine, -0.6 * sine, -0.8])
    assert torch.allclose(out["normals"][:, 24, 40], expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_depth_and_normals_stay_consistent(seed: int) -> None:
    torch.manual_seed(seed)
    out = transforms.training(SIZE, rotation=30, flip=0.5)(wall())
    check_sample(out)
    measured = depth_to_normals(out["depth"], out["intrinsics"], SIZE)
    both = measured.any(0) & out["normals"].any(0)
    assert int(both.sum()) > 500
    cosine = (measured * out["normals"]).sum(0)[both]
    # nearest pixels: steps of depth; the wrong sense of rotation would be tens of degrees off
    assert float(cosine.clamp(-1, 1).acos().rad2deg().median()) < 8


def test_what_comes_in_is_void_and_black() -> None:
    torch.manual_seed(1)
    step = RandomRotation(20)
    step.make_params = lambda _: {"angle": 20.0, "pixels": in_plane(20), "roll": in_plane(20)}
    out = transforms.JointTransform([step])(wall())
    corner = (0, 0)
    assert int(out["segmentation"][corner]) == 255 and float(out["edges"][0][corner]) == 255
    assert float(out["depth"][0][corner]) == 0 and not bool(out["normals"][:, 0, 0].any())
    assert not bool(out["image"][:, 0, 0].any()) and not bool(out["neighbours"][:, :, 0, 0].any())
    assert set(out["edges"].unique().tolist()) <= {0.0, 1.0, 255.0}


def test_poses_turn_with_the_camera() -> None:
    sample = wall()
    sample["poses"][0, :3, 3] = torch.tensor([0.5, 0.1, 0.2])
    sample["poses"][0, :3, :3] = torch.linalg.matrix_exp(
        torch.tensor([[0.0, -0.1, 0.2], [0.1, 0.0, -0.3], [-0.2, 0.3, 0.0]])
    )
    torch.manual_seed(3)
    step = RandomRotation(40)
    params = step.make_params(list(wrap(sample).values()))
    step.make_params = lambda _: params
    out = transforms.JointTransform([step])(sample)
    turn = torch.eye(4)
    turn[:2, :2] = params["roll"]
    point = torch.tensor([0.4, -0.3, 5.0, 1.0])
    assert torch.allclose(
        out["poses"][0] @ turn @ point, turn @ sample["poses"][0] @ point, atol=1e-5
    )


def test_unknown_camera_stays_unknown_and_normals_turn() -> None:
    torch.manual_seed(0)
    out = transforms.training(SIZE, rotation=20, flip=0)(
        wall() | {"intrinsics": unknown_intrinsics()}
    )
    assert torch.equal(out["intrinsics"], unknown_intrinsics())
    found = out["normals"][:, out["normals"].any(0)]
    assert torch.allclose(found.norm(dim=0), torch.ones(1)) and float(found[1].abs().min()) > 0


def test_a_crop_without_a_class_that_fills_it() -> None:
    """One class covers the left nine tenths: most windows of it are drawn anew."""
    labels = torch.zeros(40, 400, dtype=torch.int64)
    labels[:, 200:] = 1
    labels[:, :4] = 255
    plain = {k: wall()[k] for k in ("name", "source")} | {
        "image": torch.rand(3, 40, 400),
        "segmentation": labels,
        "intrinsics": unknown_intrinsics(),
    }
    shares = {}
    for most in (None, 0.75):
        torch.manual_seed(0)
        change = transforms.training((40, 100), scale=(1.0, 1.0), most=most, flip=0)
        drawn = [change(plain)["segmentation"] for _ in range(60)]
        shares[most] = sum(0.25 < float((d == 1).float().mean()) < 0.75 for d in drawn) / 60
    assert shares[None] < 0.35 and shares[0.75] > 0.75
    with pytest.raises(DataError, match="give a `scale`"):
        transforms.training((8, 8), most=0.5)
    with pytest.raises(DataError, match="degrees from 0 to 180"):
        transforms.training((8, 8), rotation=-1)
