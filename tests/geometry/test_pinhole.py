"""Pinhole geometry against numbers worked out by hand and scenes known in closed form."""

import kornia
import pytest
import torch

from crosstask import geometry
from crosstask.media.orientation import swaps_sides, upright


def camera(fx=90.0, fy=80.0, cx=70.0, cy=21.0):
    return torch.tensor([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]])


def test_scaling_moves_pixel_centres():
    scaled = geometry.scale_intrinsics(camera(fx=100, fy=100, cx=10, cy=20), 0.5, 2.0)[0]
    # (10 + 0.5) * 0.5 - 0.5 = 4.75; (20 + 0.5) * 2 - 0.5 = 40.5
    assert scaled.tolist() == [[50, 0, 4.75], [0, 200, 40.5], [0, 0, 1]]
    assert geometry.scale_intrinsics(camera()[0], 1.0, 1.0).equal(camera()[0])


def test_crop_and_flip():
    cropped = geometry.crop_intrinsics(camera(), top=5, left=7)[0]
    assert cropped[:2, 2].tolist() == [63, 16]
    flipped = geometry.flip_intrinsics(camera(), width=100)[0]
    assert flipped[:2, 2].tolist() == [29, 21]
    assert geometry.flip_intrinsics(flipped, 100).equal(camera()[0])


def test_turning_upright_moves_every_pixel_and_the_camera_alike():
    """A point seen at a pixel of the stored image is seen at the pixel where the image turned it."""
    stored = torch.arange(12.0).view(1, 3, 4)
    k = camera(fx=9.0, fy=8.0, cx=1.25, cy=0.5)[0]
    for orientation in range(1, 9):
        image = upright(stored, orientation)
        turned = geometry.turn_intrinsics(k, orientation, 3, 4)
        sides = (turned[0, 0], turned[1, 1])
        assert sides == ((8, 9) if swaps_sides(orientation) else (9, 8))
        # the mirrored or turned world's axes: where one pixel to the right and one down went
        rows, columns = (torch.nonzero(image[0] == v)[0] for v in (0.0, 5.0))
        moved = {0.0: rows, 5.0: columns}
        for value, (v, u) in {0.0: (0, 0), 5.0: (1, 1)}.items():
            ray = torch.tensor([(u - 1.25) / 9, (v - 0.5) / 8])
            row, column = moved[value].tolist()
            found = torch.tensor(
                [(column - turned[0, 2]) / sides[0], (row - turned[1, 2]) / sides[1]]
            )
            assert torch.allclose(found.abs().sort()[0], ray.abs().sort()[0], atol=1e-6)
    unknown = torch.diag(torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(geometry.turn_intrinsics(unknown, 6, 3, 4), unknown)


def test_turning_by_hand():
    """Orientation 6 is a quarter clockwise: (u, v) of 3 x 4 goes to (3 - 1 - v, u)."""
    turned = geometry.turn_intrinsics(camera(fx=9.0, fy=8.0, cx=1.25, cy=0.5), 6, 3, 4)[0]
    assert turned.tolist() == [[8, 0, 1.5], [0, 9, 1.25], [0, 0, 1]]


def test_unproject_by_hand():
    depth = torch.full((1, 1, 32, 96), 4.0)
    point = geometry.unproject(depth, camera())[0, :, 29, 88]
    # x = 4 (88 - 70) / 90 = 0.8; y = 4 (29 - 21) / 80 = 0.4
    assert torch.allclose(point, torch.tensor([0.8, 0.4, 4.0]), atol=1e-6)


def test_unproject_and_project_agree_with_kornia_and_each_other():
    depth = 1 + 20 * torch.rand(2, 1, 9, 13)
    intrinsics = torch.cat([camera(), camera(50, 60, 5.5, 4.25)])
    points = geometry.unproject(depth, intrinsics)
    theirs = kornia.geometry.depth_to_3d(depth, intrinsics)
    assert torch.allclose(points, theirs, atol=1e-4)
    pixels = geometry.project(points, intrinsics)
    v, u = torch.meshgrid(torch.arange(9.0), torch.arange(13.0), indexing="ij")
    assert torch.allclose(pixels, torch.stack([u, v]).expand(2, 2, 9, 13), atol=1e-4)
    their_pixels = kornia.geometry.project_points(
        points.permute(0, 2, 3, 1), intrinsics[:, None, None]
    )
    assert torch.allclose(pixels.permute(0, 2, 3, 1), their_pixels, atol=1e-3)


def test_skew_survives_the_round_trip_and_a_flip():
    skewed = camera()
    skewed[0, 0, 1] = 3.0
    depth = 1 + torch.rand(1, 1, 8, 8)
    points = geometry.unproject(depth, skewed)
    u = geometry.project(points, skewed)[0, 0]
    assert torch.allclose(u, torch.arange(8.0).expand(8, 8), atol=1e-4)
    mirrored = geometry.unproject(depth.flip(-1), geometry.flip_intrinsics(skewed, 8)).flip(-1)
    assert torch.allclose(mirrored * torch.tensor([-1.0, 1, 1]).view(3, 1, 1), points, atol=1e-5)


def test_project_is_finite_on_the_camera_plane():
    points = torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert torch.isfinite(geometry.project(points, camera())).all()


def plane_depth(normal, offset, intrinsics, height, width):
    """Depth of the plane n . P = offset along every ray; 0 where the ray misses it."""
    rays = geometry.unproject(torch.ones(1, 1, height, width), intrinsics)
    depth = offset / (rays * torch.tensor(normal).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.where(depth > 0, depth, 0.0)


def angle(a, b):
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)))


@pytest.mark.parametrize(
    ("normal", "offset"),
    [
        ((0.0, 0.0, -1.0), -5.0),
        ((0.0, -1.0, 0.0), -1.5),
        ((1.0, 0.0, 0.0), -2.0),
        ((0.6, -0.48, -0.64), -6.0),
    ],
)
def test_normals_of_a_plane(normal, offset):
    scaled = geometry.scale_intrinsics(camera(500, 510, 300, 90), 0.25, 0.3)
    depth = plane_depth(normal, offset, scaled, 40, 120)
    depth[depth > 60] = 0
    normals, valid = geometry.normals_from_depth(depth, scaled)
    assert valid.float().mean() > 0.15
    expected = torch.tensor(normal).view(1, 3, 1, 1).expand_as(normals)
    assert angle(normals, expected)[valid[:, 0]].max() < 0.5
    assert (normals[~valid.expand_as(normals)] == 0).all()


def room(intrinsics, height=64, width=128):
    """Ground, side wall and far wall: depth is that of the nearest plane."""
    planes = [((0.0, -1.0, 0.0), -1.6), ((1.0, 0.0, 0.0), -3.0), ((0.0, 0.0, -1.0), -20.0)]
    depths = torch.cat([plane_depth(n, o, intrinsics, height, width) for n, o in planes])
    depths = torch.where(depths > 0, depths, torch.inf)
    depth, which = depths.min(dim=0, keepdim=True)
    return depth, torch.tensor([n for n, _ in planes])[which[:, 0]].permute(0, 3, 1, 2), which


def test_normals_of_a_room_away_from_creases():
    scaled = geometry.scale_intrinsics(camera(725, 725, 620.5, 187), 0.1, 0.17)
    depth, truth, which = room(scaled)
    normals, valid = geometry.normals_from_depth(depth, scaled)
    same = torch.nn.functional.unfold(which.float(), 3, padding=1).view(1, 9, *which.shape[-2:])
    flat = (same == which).all(1) & valid[:, 0]
    assert flat.float().mean() > 0.7
    assert angle(normals, truth)[flat].mean() < 0.1
    assert angle(normals, truth)[flat].max() < 0.5


def test_normals_of_a_sphere():
    intrinsics = camera(300, 300, 90, 40)
    rays = geometry.unproject(torch.ones(1, 1, 120, 160), intrinsics)
    centre, radius = torch.tensor([0.1, 0.2, 5.0]).view(1, 3, 1, 1), 1.5
    a, b = (rays * rays).sum(1), (rays * centre).sum(1)
    root = b * b - a * ((centre * centre).sum(1) - radius**2)
    depth = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, 0.0)[:, None]
    normals, valid = geometry.normals_from_depth(depth, intrinsics)
    truth = (depth * rays - centre) / radius
    facing = valid[:, 0] & (-(truth * rays).sum(1) / rays.norm(dim=1) > 0.5)
    assert facing.sum() > 4000
    assert angle(normals, truth)[facing].max() < 0.5


def test_steps_holes_and_borders_are_invalid_and_grazing_ground_is_not():
    depth = torch.full((1, 1, 9, 12), 4.0)
    depth[..., 6:] = 5.0
    depth[0, 0, 4, 2] = 0
    _, valid = geometry.normals_from_depth(depth, camera())
    expected = torch.zeros(9, 12, dtype=torch.bool)
    expected[1:-1, 1:5] = True
    expected[1:-1, 7:-1] = True
    expected[3:6, 1:4] = False
    assert valid[0, 0].equal(expected)
    ground = plane_depth((0.0, -1.0, 0.0), -1.5, camera(cy=-2.5), 30, 20)
    _, valid = geometry.normals_from_depth(ground, camera(cy=-2.5))
    assert valid[0, 0, 1:-1, 1:-1].all()


def test_colour_weights_keep_a_crease_sharper():
    """Two walls that meet in a crease of different colour: the guided normals mix less."""
    intrinsics = camera(200, 200, 40, 16)
    left = plane_depth((0.6, 0.0, -0.8), -8.0, intrinsics, 32, 80)
    right = plane_depth((-0.6, 0.0, -0.8), -8.0, intrinsics, 32, 80)
    depth = torch.minimum(left, right)
    on_left = left <= right
    truth = torch.where(on_left, torch.tensor([0.6, 0.0, -0.8]).view(1, 3, 1, 1), 0)
    truth = torch.where(~on_left, torch.tensor([-0.6, 0.0, -0.8]).view(1, 3, 1, 1), truth)
    image = torch.where(on_left, 0.2, 0.9).expand(1, 3, 32, 80)
    plain, valid = geometry.normals_from_depth(depth, intrinsics)
    guided, _ = geometry.normals_from_depth(depth, intrinsics, image)
    inside = valid[:, 0]
    assert angle(guided, truth)[inside].max() < 0.1
    assert angle(plain, truth)[inside].max() > 5


def test_edges_are_the_two_pixels_beside_a_boundary():
    labels = torch.tensor([[1, 1, 2, 2, 2], [1, 1, 2, 2, 255], [1, 1, 2, 2, 2]])
    edges = geometry.edges_from_labels(labels)
    assert edges.shape == (1, 3, 5)
    row, middle = [0, 1, 1, 0, 255], [0, 1, 1, 255, 255]
    assert edges[0].tolist() == [row, middle, row]
    assert geometry.edges_from_labels(labels[None]).equal(edges[None])
