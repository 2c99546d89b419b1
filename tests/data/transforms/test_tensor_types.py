"""Typed samples: what carries a declaration keeps it, and every declared map follows the image."""

import copy
import pickle

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from crosstask.data import DataError, check_sample, transforms
from crosstask.data.sample import intrinsics_matrix
from crosstask.data.transforms.tensor_types import Intrinsics, TargetMap, unwrap, wrap
from crosstask.tasks import declared
from fakes.own_tasks import ALBEDO

HEIGHT, WIDTH, BLOCK = 48, 64, 8
KEYS = (
    "segmentation",
    "human_parts",
    "depth",
    "normals",
    "edges",
    "saliency",
    "own_albedo",
    "own_flow",
)


def label(key: str, number: torch.Tensor) -> torch.Tensor:
    """The target of blocks with these numbers, (C,H,W) or (H,W); every eleventh block is void."""
    n = number.float()
    values = {
        "segmentation": n % 5,
        "human_parts": n % 7,
        "depth": 1 + n[None],
        "edges": n[None] % 2,
        "saliency": (n[None] // 2) % 2,
        "own_albedo": torch.stack([n / 70, (n % 3) / 3, (n % 4) / 4]),
        "own_flow": torch.stack([n - 20, n / 2 + 1]),
        "normals": torch.stack([(n * 0.7).sin(), (n * 0.7).cos(), 0 * n]),
    }
    target = declared()[key]
    return torch.where(number % 11 == 0, target.void, values[key]).to(target.dtype)


def blocks() -> dict:
    """A sample in which every block of the image has its own colour, and a label for each."""
    row = (torch.arange(HEIGHT) // BLOCK + 1)[:, None].expand(HEIGHT, WIDTH)
    column = (torch.arange(WIDTH) // BLOCK + 1)[None].expand(HEIGHT, WIDTH)
    i, j = row.float() / 16, column.float() / 16
    labels = {key: label(key, number_of(row, column)) for key in KEYS}
    return {
        "image": torch.stack([i, j, (i * i + j * j) / 2]),
        **labels,
        "intrinsics": intrinsics_matrix(50.0, 55.0, 30.0, 20.0),
        "name": "blocks",
        "source": "test",
    }


def number_of(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    return (7 * row + 3 * column).long()


# Steps, the signs of x and y that they give to a vector, and the factors on lengths in x and y.
CHAINS = {
    "mirror": ([v2.RandomHorizontalFlip(1.0)], (-1, 1), (1, 1)),
    "upside_down": ([v2.RandomVerticalFlip(1.0)], (1, -1), (1, 1)),
    "crop": ([v2.RandomCrop((30, 41))], (1, 1), (1, 1)),
    "crop_beyond": ([v2.RandomCrop((60, 80), pad_if_needed=True)], (1, 1), (1, 1)),
    "center_crop": ([v2.CenterCrop((31, 70))], (1, 1), (1, 1)),
    "pad": ([v2.Pad([3, 5, 7, 9])], (1, 1), (1, 1)),
    "halve": ([v2.Resize([24, 32])], (1, 1), (0.5, 0.5)),
    "odd": ([v2.Resize([37, 48])], (1, 1), (0.75, 37 / 48)),
    "enlarge": ([v2.Resize([96, 160])], (1, 1), (2.5, 2)),
    "both": ([v2.Resize([24, 32]), v2.RandomHorizontalFlip(1.0), v2.Pad(2)], (-1, 1), (0.5, 0.5)),
    "training": (transforms.training((24, 48), flip=1.0).steps, (-1, 1), (0.75, 0.5)),
    "composed": ([v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Pad(2)])], (-1, 1), (1, 1)),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_transform_then_measure_is_measure_then_transform(chain: str) -> None:
    """What the label of a pixel must be is read off the colour that the image has there."""
    steps, signs, factors = CHAINS[chain]
    out = transforms.JointTransform(steps)(blocks())
    check_sample(out, KEYS)
    i, j, square = out["image"]
    pure = ((i * i + j * j) / 2 - square).abs() < 1e-5  # a mixture of two colours never is
    row, column = (i * 16).round().long(), (j * 16).round().long()
    outside = pure & (row == 0)
    inside = pure & (row > 0)
    assert float(inside.float().mean()) > 0.2
    assert bool(outside.any()) == (
        chain in ("crop_beyond", "center_crop", "pad", "both", "composed")
    )
    for key in KEYS:
        target, found = declared()[key], out[key]
        expected = label(key, number_of(row, column))
        hole = target.void_mask(expected)
        if key in ("normals", "own_flow"):
            lengths = factors if key == "own_flow" else (1, 1)
            for axis in range(2):
                turned = expected[axis] * signs[axis] * lengths[axis]
                expected[axis] = torch.where(hole, expected[axis], turned)
        where = inside.expand_as(found)
        assert torch.allclose(found[where].float(), expected[where].float(), atol=1e-5), key
        assert bool((found[outside.expand_as(found)] == target.void).all()), key


def same(seed: int = 3) -> dict:
    """image = depth = own_albedo."""
    image = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(seed))
    return {
        "image": image,
        "depth": image[:1].clone(),
        "own_albedo": image.clone(),
        "intrinsics": intrinsics_matrix(50.0, 55.0, 30.0, 20.0),
        "name": "same",
        "source": "test",
    }


def test_a_declared_map_follows_the_image() -> None:
    out = transforms.training((32, 64), flip=1.0)(same())
    assert out["own_albedo"].equal(out["image"]) and out["image"].equal(same()["image"].flip(-1))
    assert out["depth"].equal(out["image"][:1])
    cut = transforms.training((32, 40), resize=(32, 64), flip=1.0)(same())
    assert cut["own_albedo"].equal(cut["image"]) and cut["image"].shape[-1] == 40


ENTRIES = {
    "training": transforms.training((32, 64), flip=1.0),
    "zoom": transforms.training((32, 64), scale=(0.5, 2.0)),
    "evaluation": transforms.evaluation((16, 32)),
    "unchanged": transforms.evaluation(None),
    "native": transforms.evaluation((16, 32), targets="native"),
    "composed": transforms.JointTransform([v2.Compose([v2.RandomHorizontalFlip(1.0)])]),
    "nothing": transforms.JointTransform([]),
}


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(3, 32, 64),
        torch.zeros(32, 64, dtype=torch.int64),
        torch.zeros(32, 64).numpy(),
        [torch.zeros(32, 64)],
        {"inner": (torch.zeros(1, 32, 64),)},
    ],
)
@pytest.mark.parametrize("entry", ENTRIES)
def test_an_undeclared_map_is_an_error(entry: str, value: object) -> None:
    with pytest.raises(DataError, match=r"'same' of 'test'.*'reflectance'.*declare\('reflectance'"):
        ENTRIES[entry](same() | {"reflectance": value})
    with pytest.raises(DataError, match="a map under 'reflectance'"):
        check_sample(same() | {"reflectance": value})


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_map_passes(entry: str) -> None:
    extra = {"weather": "rain", "time": torch.tensor(3.0), "speeds": torch.rand(5), "pair": [1, 2]}
    out = ENTRIES[entry](same() | extra)
    assert all(type(out[key]) is type(value) for key, value in extra.items())
    assert out["speeds"].equal(extra["speeds"]) and out["pair"] == [1, 2]


def test_a_map_that_a_step_adds_or_makes_plain() -> None:
    """Steps are functions, too: what they give back is held to the same rule."""

    def brighter(sample: dict) -> dict:
        return sample | {"own_albedo": sample["own_albedo"] * 0.5}

    out = transforms.JointTransform([brighter, v2.RandomHorizontalFlip(1.0)])(same())
    assert out["own_albedo"].equal(out["image"] * 0.5)
    with pytest.raises(DataError, match="'copy'"):
        transforms.JointTransform([lambda s: s | {"copy": s["image"] + 0}, v2.Pad(2)])(same())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"own_albedo": torch.zeros(32, 64, 3)}, r"`own_albedo` is Tensor of shape \(32, 64, 3\)"),
        ({"own_albedo": torch.zeros(32, 64)}, "expected a tensor of"),
        ({"depth": torch.zeros(1, 16, 32)}, "height and width"),
        ({"depth": [1.0]}, "`depth` is list"),
        ({"target_image": torch.zeros(3, 32, 64)}, "transform each domain before"),
    ],
)
def test_maps_of_another_shape(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        transforms.training((32, 64))(same() | change)


def test_targets_at_native_size_stay_plain() -> None:
    out = transforms.evaluation((16, 32), targets="native")(wrap(same()))
    assert out["image"].shape == (3, 16, 32) and out["own_albedo"].shape == (3, 32, 64)
    assert type(out["own_albedo"]) is torch.Tensor


def test_the_declaration_survives_copies_and_processes() -> None:
    typed = wrap(same())
    for value in (typed["own_albedo"], typed["intrinsics"]):
        for other in (
            value.clone(),
            value.detach(),
            value.to(torch.float64),
            copy.copy(value),
            copy.deepcopy(value),
            pickle.loads(pickle.dumps(value)),
            tv_tensors.wrap(value.as_subclass(torch.Tensor), like=value),
        ):
            assert type(other) is type(value) and other.__dict__ == value.__dict__
            F.horizontal_flip(other)
    assert type(typed["own_albedo"] * 2) is torch.Tensor
    plain = unwrap(typed)
    assert all(type(v) in (torch.Tensor, str) for v in plain.values())
    assert isinstance(typed["intrinsics"], Intrinsics) and isinstance(
        typed["own_albedo"], TargetMap
    )


def test_a_map_of_bytes_gets_its_void() -> None:
    """-1 is not a byte: the map is brought to its declared type before anything is filled in."""
    stored = same() | {"own_albedo": torch.ones(3, 32, 64, dtype=torch.uint8)}
    out = transforms.JointTransform([v2.Pad(1)])(stored)
    assert out["own_albedo"].dtype == torch.float32
    assert out["own_albedo"].unique().tolist() == [-1, 1]


def test_a_typed_map_needs_no_key() -> None:
    """What a dataset typed moves, also in a process that never saw the declaration."""
    sample = same() | {"unheard_of": TargetMap(same()["image"], ALBEDO)}
    out = transforms.training((32, 64), flip=1.0)(sample)
    assert out["unheard_of"].equal(out["image"])


def test_a_wrong_resize_is_an_error() -> None:
    from dataclasses import replace

    broken = TargetMap(torch.zeros(3, 8, 8), replace(ALBEDO, resize=lambda value, size: value))
    with pytest.raises(DataError, match="`resize` of a target in share of reflected light"):
        F.resize(broken, [4, 4])
