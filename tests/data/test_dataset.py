"""A dataset with targets of one's own: checked, transformed, made void, batched."""

import pickle
from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

from crosstask.data import (
    DataError,
    Frame,
    FrameFolder,
    Mixture,
    SceneDataset,
    check_sample,
    transforms,
)
from crosstask.data.combine.class_map import MappedClasses
from crosstask.data.loading import train_loader
from crosstask.data.sample import Sample
from crosstask.tasks import ClassTable
from fakes.own_tasks import ALBEDO, FLOW, Height

OWN = ("segmentation", "own_albedo", "own_flow", "own_height")


class Lab(SceneDataset):
    """Twelve frames whose label maps repeat what the image shows; every third one has no own_albedo."""

    source = "lab"
    supported = OWN

    def index(self) -> list[Frame]:
        files = {name: Path(name) for name in OWN}
        fewer = {name: path for name, path in files.items() if name != "own_albedo"}
        return [Frame(f"{i:02d}", fewer if i % 3 == 2 else files, {"seed": i}) for i in range(12)]

    @property
    def classes(self) -> ClassTable:
        return ClassTable.numbered(4)

    def load_image(self, frame: Frame) -> torch.Tensor:
        seed = torch.Generator().manual_seed(frame.info["seed"])
        return torch.randint(0, 256, (3, 32, 48), generator=seed, dtype=torch.uint8)

    def orientation(self, frame: Frame) -> int:
        return 1

    def load_segmentation(self, frame: Frame) -> torch.Tensor:
        return self.load_image(frame)[0] // 64

    def load_own_albedo(self, frame: Frame) -> torch.Tensor:
        return self.load_image(frame).float() / 255

    def load_own_flow(self, frame: Frame) -> torch.Tensor:
        return self.load_image(frame)[:2].double() - 100  # another type: the dataset casts

    def load_own_height(self, frame: Frame) -> torch.Tensor:
        return self.load_image(frame)[:1].float() / 10


class Stray(Lab):
    """Adds a map that nobody declared."""

    def load(self, frame: Frame) -> Sample:
        return super().load(frame) | {"shading": self.load_own_albedo(frame)}


def lab(kind: type[Lab] = Lab, **options: object) -> Lab:
    return kind(Path(), **options)  # type: ignore[arg-type]


MIRROR = transforms.training((32, 48), flip=1.0)


def test_own_targets_are_checked_and_move() -> None:
    dataset = lab(transform=MIRROR)
    assert dataset.modalities == OWN
    plain = lab()
    for index in range(4):
        moved, still = dataset[index], plain[index]
        check_sample(moved, OWN)
        check_sample(still, OWN)
        for name in OWN:
            assert moved[name].equal(dataset.targets[name].mirror(still[name], -1))
        labelled = still["own_albedo"].equal(still["image"])
        assert labelled == (index != 2)
        assert labelled or bool((moved["own_albedo"] == ALBEDO.void).all())


def test_any_transform_of_torchvision_moves_labels() -> None:
    """Also without `JointTransform`: plain tensors would pass through it unmoved."""
    for transform in (v2.RandomHorizontalFlip(1.0), v2.Compose([v2.RandomHorizontalFlip(1.0)])):
        sample, expected = lab(transform=transform)[1], lab(transform=MIRROR)[1]
        for name in ("image", *OWN, "intrinsics"):
            assert type(sample[name]) is torch.Tensor
            assert torch.allclose(sample[name], expected[name]), name


@pytest.mark.parametrize(
    "transform", [None, MIRROR, transforms.evaluation((16, 24), targets="native"), v2.Pad(2)]
)
def test_a_map_that_nobody_declared_is_an_error(transform: object) -> None:
    with pytest.raises(DataError, match="'00' of 'lab' has a map under 'shading'"):
        lab(Stray, transform=transform)[0]


def test_a_transform_that_adds_a_map_is_told() -> None:
    with pytest.raises(DataError, match="a map under 'twin'"):
        lab(transform=lambda sample: sample | {"twin": sample["image"] * 1.0})[0]


def test_an_undeclared_modality_is_an_error_at_construction() -> None:
    class Unknown(Lab):
        supported = (*OWN, "shading")

    with pytest.raises(DataError, match=r"`modalities` has 'shading', under which no target"):
        lab(Unknown, modalities=("shading",))
    with pytest.raises(DataError, match="'shading'"):
        lab(Unknown)


def test_the_far_plane_is_of_distances_alone() -> None:
    sample = lab(far=5.0)[0]
    assert float(sample["own_height"].max()) <= 5.0
    assert sample["own_flow"].equal(lab()[0]["own_flow"]) and float(sample["own_flow"].max()) > 5.0


@pytest.mark.parametrize("zoom", [2.0])
def test_divided_depth_is_of_distances_alone(zoom: float) -> None:
    step = transforms.RandomScaleCrop((32, 48), (zoom, zoom), base="native", depth="divide")
    kept = transforms.RandomScaleCrop((32, 48), (zoom, zoom), base="native")
    first, second = (
        pinned(lab(transform=transforms.JointTransform([one])))[0] for one in (step, kept)
    )
    assert torch.allclose(first["own_height"] * zoom, second["own_height"])
    assert first.keys() == second.keys()
    assert first["own_albedo"].equal(second["own_albedo"]) and first["own_flow"].equal(
        second["own_flow"]
    )


def pinned(dataset: Lab) -> Lab:
    torch.manual_seed(5)
    return dataset


def test_hidden_labels_are_void() -> None:
    dataset = lab(labelled={"own_flow": 0.0, "own_height": 0.5})
    assert all(bool((dataset[i]["own_flow"] == FLOW.void).all()) for i in range(len(dataset)))
    dark = [bool((dataset[i]["own_height"] == 0).all()) for i in range(len(dataset))]
    assert sum(dark) == 6


def test_own_targets_batch_and_cross_processes() -> None:
    """Two workers deliver the same batches as none."""
    kept = pickle.loads(
        pickle.dumps(lab(transform=transforms.training((24, 40), scale=(0.7, 1.5))))
    )
    batches = [
        list(train_loader(kept, batch_size=3, batches=3, seed=1, workers=workers))
        for workers in (0, 2)
    ]
    for alone, together in zip(*batches, strict=True):
        assert alone["own_albedo"].shape == (3, 3, 24, 40) and alone["own_flow"].shape == (
            3,
            2,
            24,
            40,
        )
        for name in ("image", *OWN, "intrinsics"):
            assert type(together[name]) is torch.Tensor
            assert alone[name].equal(together[name]), name
    task = Height()
    target = batches[0][0][task.name]
    assert float(task.loss(torch.zeros_like(target), target)) > 0


def test_own_targets_in_combined_sets(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (48, 32)).save(tmp_path / f"{number}.png")
    frames = FrameFolder(tmp_path, "all", ("own_albedo", "own_flow"), intrinsics=(50, 50, 24, 16))
    assert bool((frames[0]["own_albedo"] == ALBEDO.void).all())
    both = Mixture(
        [(lab(modalities=("own_albedo",)), 1.0), (lab(modalities=("own_flow", "own_height")), 1.0)]
    )
    assert both.modalities == ("own_albedo", "own_flow", "own_height")
    first, last = both[0], both[len(both) - 1]
    check_sample(first, both.modalities)
    assert bool((first["own_flow"] == FLOW.void).all()) and bool(
        (last["own_albedo"] == ALBEDO.void).all()
    )
    mapped = MappedClasses(
        lab(modalities=("segmentation",)), ClassTable.numbered(4), {}, voids=("own_albedo",)
    )
    assert bool((mapped[0]["own_albedo"] == ALBEDO.void).all())
