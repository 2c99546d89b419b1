"""Every type of a sample follows every geometric functional, exactly or with an error."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from crosstask import geometry
from crosstask.data.sample import DataError, intrinsics_matrix
from crosstask.data.transforms.kernels import REFUSED
from crosstask.data.transforms.tensor_types import TYPES, Intrinsics, TargetMap, wrap
from crosstask.tasks import declared
from fakes.planes import CAMERA, HEIGHT, TYPED, WIDTH, plane_scene


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
    return wrap(plane_scene("wall"))[key]


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
    sample = wrap(plane_scene("front"))
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
