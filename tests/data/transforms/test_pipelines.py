"""Joint transforms: transform then measure is measure then transform, on planes."""

from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from crosstask import geometry
from crosstask.data import transforms
from crosstask.data.derive import derive
from crosstask.data.sample import DataError, check_sample, unknown_intrinsics
from fakes.planes import CAMERA, HEIGHT, PLANES, TARGETS, TYPED, WIDTH, plane_scene


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


def test_normals_from_divided_depth_are_those_of_the_scene() -> None:
    """Dividing depth flattens the scene before a camera whose focal length stays; it does not turn."""
    sample = {k: v for k, v in plane_scene("wall").items() if k not in ("poses", "neighbours")}
    changed = transforms.training(
        (HEIGHT, WIDTH), scale=(1.6, 1.6), base="native", depth="divide", flip=0.0
    )
    out = derive(changed(sample), {"normals": "depth"})
    seen = out["normals"].norm(dim=0) > 0.5
    assert seen.float().mean() > 0.2
    normal = torch.tensor(PLANES["wall"][0])[:, None]
    off = (out["normals"][:, seen] - normal).abs().amax(dim=0)
    assert off.quantile(0.95) < 5e-3  # the others lie at holes and on interpolated rims


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
