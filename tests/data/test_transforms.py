"""Joint transforms: every type follows every geometric functional, exactly or with an error."""

from typing import Any

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import fakes.own_tasks  # noqa: F401 (declares two targets)
from crosstask import geometry
from crosstask.data import transforms
from crosstask.data.sample import DataError, check_sample, intrinsics_matrix, unknown_intrinsics
from crosstask.data.tensor_types import REFUSED, TYPES, Intrinsics, TargetMap
from crosstask.tasks import declared
from crosstask.tasks.resample import resize_depth, resize_edges, resize_nearest

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


def plane_error(sample: dict, plane: str, mirrored: bool) -> float:
    """Largest relative distance of the unprojected points from the (mirrored) plane."""
    normal, distance = torch.tensor(PLANES[plane][0]), PLANES[plane][1]
    if mirrored:
        normal = normal * torch.tensor([-1.0, 1.0, 1.0])
    depth = sample["depth"]
    points = geometry.unproject(depth[None], sample["intrinsics"][None])[0]
    error = ((normal[:, None, None] * points).sum(0, keepdim=True) / distance - 1).abs()
    return float(error[depth > 0].max())


CHAINS = {
    "resize": [v2.Resize([30, 64])],
    "enlarge": [v2.Resize([96, 100])],
    "short_side": [v2.Resize(24)],
    "crop": [v2.RandomCrop((30, 40))],
    "crop_beyond": [v2.RandomCrop((60, 100), pad_if_needed=True)],
    "center_crop": [v2.CenterCrop((31, 90))],
    "pad": [v2.Pad([3, 5, 7, 9])],
    "resized_crop": [v2.RandomResizedCrop((24, 40), antialias=True)],
    "zoom_in": [transforms.RandomScaleCrop((24, 40), (1.2, 2.0))],
    "zoom_out": [transforms.RandomScaleCrop((48, 80), (0.5, 0.8))],
    "native": [transforms.RandomScaleCrop((24, 40), (0.7, 1.5), base="native")],
}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("chain", CHAINS)
def test_transform_then_measure(chain: str, plane: str, flip: bool) -> None:
    steps = [*CHAINS[chain], v2.RandomHorizontalFlip(1.0 if flip else 0.0)]
    out = transforms.JointTransform(steps)(plane_scene(plane))
    check_sample(out, TARGETS)
    assert (out["depth"] > 0).any()
    normal = torch.tensor(PLANES[plane][0]) * torch.tensor([-1.0 if flip else 1.0, 1.0, 1.0])
    stored = out["normals"][:, out["normals"].norm(dim=0) > 0]
    assert torch.allclose(stored, normal[:, None].expand_as(stored), atol=1e-6)
    # Beside void, and on ground near the horizon, the nearest pixel counts; elsewhere it is exact.
    inside = eroded(out["depth"] > 0) & (out["depth"] < 7.5)
    inner = dict(out, depth=torch.where(inside, out["depth"], 0.0))
    if inside.any():
        assert plane_error(inner, plane, flip) < 1e-3
    measured, valid = geometry.normals_from_depth(inner["depth"][None], out["intrinsics"][None])
    if valid.any():
        cosine = (measured[0] * normal[:, None, None]).sum(0, keepdim=True)[valid[0]]
        assert float(cosine.clamp(max=1).acos().rad2deg().max()) < 0.5


def eroded(mask: torch.Tensor) -> torch.Tensor:
    """Without two pixels beside void and at the frame: enlarged maps end before the last centre."""
    void = torch.nn.functional.pad(1 - mask.float()[None], (2, 2, 2, 2), value=1.0)
    return torch.nn.functional.max_pool2d(void, 5, 1)[0] == 0


def test_resize_by_hand() -> None:
    """512 to 256 columns: the principal point 300 moves to (300.5) / 2 - 0.5 = 149.75."""
    value = Intrinsics(intrinsics_matrix(700.0, 600.0, 300.0, 100.0), canvas_size=(200, 512))
    small = F.resize(value, [100, 256])
    expected = torch.tensor([[350.0, 0, 149.75], [0, 300, 49.75], [0, 0, 1]])
    assert torch.equal(small.as_subclass(torch.Tensor), expected)
    assert small.canvas_size == (100, 256)
    flipped = F.horizontal_flip(value)
    assert float(flipped[0, 2]) == 211.0  # 512 - 1 - 300
    assert float(flipped[1, 2]) == 100.0


def test_crop_and_pad_by_hand() -> None:
    value = Intrinsics(intrinsics_matrix(700.0, 600.0, 300.0, 100.0), canvas_size=(200, 512))
    cropped = F.crop(value, 10, 20, 50, 60)
    assert (float(cropped[0, 2]), float(cropped[1, 2])) == (280.0, 90.0)
    padded = F.pad(value, [1, 2, 3, 4])
    assert (float(padded[0, 2]), float(padded[1, 2])) == (301.0, 102.0)
    assert padded.canvas_size == (206, 516)


GEOMETRIC = sorted(  # everything of v2 that moves pixels: its module says so
    functional.__name__
    for functional in F._utils._KERNEL_REGISTRY
    if functional.__module__.endswith("functional._geometry")
)
ARGUMENTS = {
    "resize": ([24, 40],),
    "crop": (2, 3, 20, 30),
    "pad": ([1, 2, 3, 4],),
    "center_crop": ([20, 30],),
    "resized_crop": (2, 3, 20, 30, [24, 40]),
    "affine": (5.0, [0, 0], 1.0, [0.0]),
    "rotate": (5.0,),
    "perspective": ([[0, 0], [9, 0], [9, 9], [0, 9]], [[0, 0], [9, 1], [9, 9], [0, 9]]),
    "elastic": (torch.zeros(1, HEIGHT, WIDTH, 2),),
    "five_crop": ([20, 20],),
    "ten_crop": ([20, 20],),
}


def typed(key: str) -> torch.Tensor:
    return transforms.wrap(plane_scene("wall"))[key]


@pytest.mark.parametrize("key", TYPED)
@pytest.mark.parametrize("name", GEOMETRIC)
def test_every_functional_has_a_kernel(name: str, key: str) -> None:
    """A type without a kernel would pass through v2's transforms silently, unmoved."""
    functional, kind = getattr(F, name), type(typed(key))
    assert kind in TYPES
    assert kind in F._utils._KERNEL_REGISTRY[functional], f"{name} leaves {kind.__name__} unmoved"
    if name in REFUSED:
        with pytest.raises(DataError, match=name):
            functional(typed(key), *ARGUMENTS[name])
    else:
        result = functional(typed(key), *ARGUMENTS.get(name, ()))
        assert type(result) is kind
        assert result.__dict__.keys() == typed(key).__dict__.keys()
        if kind is TargetMap:
            assert result.declaration == declared()[key]
            image = functional(
                tv_tensors.Image(torch.rand(3, HEIGHT, WIDTH)), *ARGUMENTS.get(name, ())
            )
            assert result.shape[-2:] == image.shape[-2:]


def test_the_list_of_functionals_is_complete() -> None:
    assert {"resize", "crop", "pad", "rotate", "horizontal_flip", "elastic", "ten_crop"} <= set(
        GEOMETRIC
    )


@pytest.mark.parametrize("size", [24, [24], [24, 40], [96, 96]])
def test_resized_sizes_agree_with_torchvision(size: int | list[int]) -> None:
    image = F.resize(tv_tensors.Image(torch.rand(3, HEIGHT, WIDTH)), size)
    depth = F.resize(typed("depth"), size)
    camera = F.resize(typed("intrinsics"), size)
    assert image.shape[-2:] == depth.shape[-2:] == camera.canvas_size


@pytest.mark.parametrize("output", [20, [21, 31], [47, 99], [60, 33]])
def test_center_crop_agrees_with_torchvision(output: int | list[int]) -> None:
    """The same window as for images, odd margins and padding included."""
    ramp = torch.arange(HEIGHT * WIDTH, dtype=torch.float32).reshape(1, HEIGHT, WIDTH) + 1
    image = F.center_crop(tv_tensors.Image(ramp), output)
    depth = F.center_crop(TargetMap(ramp, declared()["depth"]), output)
    assert torch.equal(image.as_subclass(torch.Tensor), depth.as_subclass(torch.Tensor))


def test_outside_is_void() -> None:
    voids = {
        "segmentation": 255,
        "edges": 255,
        "depth": 0,
        "normals": 0,
        "own_albedo": -1,
        "own_flow": 1000,
    }
    for key, void in voids.items():
        padded = F.pad(typed(key), [2, 2, 2, 2], padding_mode="reflect")
        assert bool((padded.as_subclass(torch.Tensor)[..., :2, :] == void).all())


@pytest.mark.parametrize("axis", ["horizontal_flip", "vertical_flip"])
@pytest.mark.parametrize("key", TYPED)
def test_flip_twice_is_identity(key: str, axis: str) -> None:
    flip = getattr(F, axis)
    value = typed(key)
    assert torch.allclose(
        flip(flip(value)).as_subclass(torch.Tensor), value.as_subclass(torch.Tensor)
    )


@pytest.mark.parametrize("axis", ["horizontal_flip", "vertical_flip"])
def test_poses_follow_a_flip(axis: str) -> None:
    """A point seen in both frames lands on the mirrored pixel of the mirrored neighbour."""
    sample = transforms.wrap(plane_scene("front"))
    flip = getattr(F, axis)
    points = geometry.unproject(torch.full((1, 1, HEIGHT, WIDTH), 5.0), CAMERA[None])
    for index in range(2):
        before = pixels(points, sample["poses"].as_subclass(torch.Tensor)[index], CAMERA)
        camera = flip(sample["intrinsics"]).as_subclass(torch.Tensor)
        moved = geometry.unproject(torch.full((1, 1, HEIGHT, WIDTH), 5.0), camera[None])
        after = pixels(moved, flip(sample["poses"]).as_subclass(torch.Tensor)[index], camera)
        if axis == "horizontal_flip":
            expected = torch.stack([WIDTH - 1 - before[:, 0], before[:, 1]], 1).flip(-1)
        else:
            expected = torch.stack([before[:, 0], HEIGHT - 1 - before[:, 1]], 1).flip(-2)
        assert torch.allclose(after, expected, atol=1e-3)


def pixels(points: torch.Tensor, pose: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    moved = torch.einsum("ij,bjhw->bihw", pose[:3, :3], points) + pose[:3, 3].view(1, 3, 1, 1)
    return geometry.project(moved, camera[None])


def test_unknown_camera_stays_unknown() -> None:
    sample = plane_scene("front") | {"intrinsics": unknown_intrinsics()}
    out = transforms.training((24, 40), scale=(0.5, 2.0))(sample)
    assert torch.equal(out["intrinsics"], unknown_intrinsics())


def test_divided_depth_keeps_the_focal_length() -> None:
    """Zoom 2 with `divide`: 7 m become 3.5 m before the same camera."""
    sample = plane_scene("front")
    out = transforms.JointTransform(
        [transforms.RandomScaleCrop((24, 40), (2.0, 2.0), base="native", depth="divide")]
    )({k: v for k, v in sample.items() if k not in ("poses", "neighbours")})
    assert torch.allclose(out["depth"], torch.full_like(out["depth"], 3.5))
    assert torch.allclose(out["intrinsics"].diagonal()[:2], CAMERA.diagonal()[:2])
    kept = transforms.JointTransform(
        [transforms.RandomScaleCrop((24, 40), (2.0, 2.0), base="native")]
    )(sample)
    assert torch.allclose(kept["depth"], torch.full_like(kept["depth"], 7.0))
    assert torch.allclose(kept["intrinsics"].diagonal()[:2], 2 * CAMERA.diagonal()[:2])
    with pytest.raises(DataError, match="poses"):
        transforms.training((24, 40), scale=(2.0, 2.0), depth="divide")(sample)


def test_jitter_changes_images_alone_and_alike() -> None:
    sample = plane_scene("wall")
    sample["neighbours"] = sample["image"].expand(2, 3, HEIGHT, WIDTH).clone()
    out = transforms.training((HEIGHT, WIDTH), flip=0.0, jitter=1.0)(sample)
    assert not torch.allclose(out["image"], sample["image"])
    assert torch.allclose(out["neighbours"][0], out["image"], atol=1e-6)
    for name in TYPED:
        assert torch.equal(out[name], sample[name])


def test_native_targets() -> None:
    out = transforms.evaluation((24, 40), targets="native")(plane_scene("wall"))
    assert out["image"].shape == (3, 24, 40)
    assert out["depth"].shape == (1, HEIGHT, WIDTH)
    assert float(out["intrinsics"][0, 0]) == 35.0


def test_same_seed_same_sample() -> None:
    transform = transforms.training((24, 40), scale=(0.5, 2.0), jitter=0.5)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        scene = plane_scene("wall")
        torch.manual_seed(seed + 10)
        scene["image"] = torch.linspace(0, 1, 3 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH)
        results.append(transform(scene)["image"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_nearest_takes_the_centre() -> None:
    """Six columns to two: centres 0.5 and 1.5 lie at 1.5 and 4.5, in the pixels 1 and 4."""
    row = torch.arange(6.0).reshape(1, 1, 6)
    for kind in (torch.float32, torch.uint8, torch.int64):
        assert resize_nearest(row.to(kind), (1, 2)).flatten().tolist() == [1, 4]
    image = torch.rand(2, 13, 17)
    for size in ((5, 40), (13, 3), (26, 17)):  # both ways of computing it agree
        assert torch.equal(
            resize_nearest(image, size), resize_nearest(image.double(), size).float()
        )


def test_depth_between_pixels_by_hand() -> None:
    """Inverse depths 0.5 and 0.48 (2 m and 2.083 m), halfway: 0.49, so 2.041 m; a jump is not mixed."""
    row = torch.tensor([[[1 / 0.5, 1 / 0.48]]])
    assert resize_depth(row, (1, 1)).item() == pytest.approx(1 / 0.49)
    assert resize_depth(torch.tensor([[[2.0, 8.0]]]), (1, 1)).item() in (2.0, 8.0)
    assert resize_depth(torch.tensor([[[2.0, 0.0]]]), (1, 1)).item() in (2.0, 0.0)


def test_thin_edges_survive() -> None:
    edges = torch.zeros(1, 8, 8)
    edges[0, :, 3] = 1
    edges[0, :4, 6:] = 255
    small = resize_edges(edges, (2, 4))
    assert small[0].tolist() == [[0.0, 1.0, 0.0, 255.0], [0.0, 1.0, 0.0, 0.0]]


def test_fixed_views_are_the_plain_image_and_the_same_few_draws_in_every_run() -> None:
    """Of two frames, seen 40 times under other random states."""
    random = transforms.training((16, 24), scale=(0.7, 1.5), jitter=1.0)
    plain = transforms.evaluation((16, 24))
    views = transforms.FixedViews(plain, random, 3)
    image = torch.rand(3, 32, 48)
    labels = (image[0] * 3).long()
    seen: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for seed in range(40):
        torch.manual_seed(seed)
        for name in ("a", "b"):
            sample = {"image": image, "segmentation": labels, "name": name, "source": "x"}
            found = views(sample)
            seen.setdefault((name, found.pop("view")), []).append(found)
    assert sorted(seen) == [(name, view) for name in "ab" for view in range(3)]
    for same in seen.values():
        for key in ("image", "segmentation"):
            assert all(torch.equal(one[key], same[0][key]) for one in same)
    assert torch.equal(seen["a", 0][0]["image"], plain({"image": image})["image"])
    drawn = [seen[name, view][0]["image"] for name in "ab" for view in (1, 2)]
    assert not any(torch.equal(x, y) for i, x in enumerate(drawn) for y in drawn[:i])
