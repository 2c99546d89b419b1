"""Promises that every reader keeps, over miniatures of the datasets' real trees."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes.bsds500
import fakes.camvid
import fakes.cityscapes
import fakes.folder
import fakes.nyudv2
import fakes.pascal_context
import fakes.rows
import fakes.sevenscenes
import fakes.synthia
import fakes.vkitti2
from crosstask import data
from crosstask.data import transforms
from crosstask.data.loading import collate
from crosstask.data.sample import DataError, check_sample
from crosstask.data.splits import write_split
from crosstask.tasks import declared


@dataclass(frozen=True)
class Case:
    """One way to find a dataset on disk."""

    name: str
    kind: type[data.SceneDataset]
    write: Callable[..., Path]
    fake: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[int, int] = (4, 2)  # frames in `split` and in val
    split: str = "train"
    on_disk: bool = True  # whether what a frame lists are files

    def make(self, root: Path, split: str = "train", **options: Any) -> data.SceneDataset:
        return self.kind(root, split, **{**self.options, **options})


DATASETS = [
    Case("camvid", data.CamVid, fakes.camvid.write),
    Case("cityscapes", data.Cityscapes, fakes.cityscapes.write),
    Case(
        "cityscapes_small",
        data.Cityscapes,
        fakes.cityscapes.write,
        {"small": True},
        {"classes": 16},
    ),
    Case("nyudv2", data.NYUDv2, fakes.nyudv2.write),
    Case("nyud_mt", data.NYUDv2, fakes.nyudv2.write, {"edition": "NYUD_MT"}, {"classes": 13}),
    Case("synthia", data.Synthia, fakes.synthia.write, {"val": 1}, {}, (4, 1)),
    Case(
        "synthia_grey8",
        data.Synthia,
        fakes.synthia.write,
        {"labels": "grey8"},
        {"classes": 13},
        (4, 1),
    ),
    Case(
        "synthia_seqs",
        data.Synthia,
        fakes.synthia.write,
        {"variant": "seqs"},
        {"variant": "seqs"},
        (5, 0),
        "all",
    ),
    Case("vkitti2", data.VirtualKITTI2, fakes.vkitti2.write, {}, {}, (8, 2)),
    Case(
        "vkitti2_side_by_side",
        data.VirtualKITTI2,
        fakes.vkitti2.write,
        {"side_by_side": True},
        {"classes": 8, "split_by": "scene"},
        (5, 5),
    ),
    Case("pascal_context", data.PascalContext, fakes.pascal_context.write),
    Case("sevenscenes", data.SevenScenes, fakes.sevenscenes.write, {}, {"gap": 1}, (11, 3)),
    Case(
        "sevenscenes_sequences",
        data.SevenScenes,
        fakes.sevenscenes.write,
        {"sequences": True},
        {"gap": 1},
        (11, 3),
    ),
    Case("bsds500", data.BSDS500, fakes.bsds500.write),
    Case("folder", data.FolderDataset, fakes.folder.write, {}, {}, (8, 2)),
    Case("hub", data.HubDataset, fakes.rows.write, {}, {}, (8, 2), on_disk=False),
]
of_files = pytest.mark.parametrize(
    "case", [case for case in DATASETS if case.on_disk], ids=lambda case: case.name
)


@pytest.fixture(scope="module", params=DATASETS, ids=lambda case: case.name)
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, Path]:
    """A case and its miniature, shared; tests that damage files write their own."""
    case = request.param
    return case, case.write(tmp_path_factory.mktemp(case.name), **case.fake)


def test_every_sample_follows_the_table(found: tuple[Case, Path]) -> None:
    case, root = found
    for split, size in zip((case.split, "val"), case.sizes, strict=True):
        if size == 0:
            continue  # one short sequence: no validation part
        dataset = case.make(root, split)
        assert len(dataset) == size
        for index in range(len(dataset)):
            sample = dataset[index]
            check_sample(sample, dataset.modalities)
            assert sample["source"] == dataset.source
        assert len({dataset[i]["name"] for i in range(len(dataset))}) == len(dataset)


def test_every_modality_has_labels(found: tuple[Case, Path]) -> None:
    """All-void targets would pass every other test."""
    case, root = found
    dataset = case.make(root, case.split)
    order = ("segmentation", "human_parts", "depth", "normals", "edges", "saliency")
    assert dataset.modalities == tuple(
        n for n in order if n in dataset.supported and n in dataset.available()
    )
    samples = [dataset[i] for i in range(len(dataset))]
    for name in dataset.modalities:
        values = torch.cat([s[name].reshape(-1).float() for s in samples])
        void = 0 if name in ("depth", "normals") else 255
        assert float((values != void).float().mean()) > 0.15, name
        if name in ("segmentation", "human_parts"):
            assert len(values.unique()) >= 3
        if name in ("edges", "saliency"):
            assert set(values.unique().tolist()) >= {0.0, 1.0}


def test_training_samples_stack(found: tuple[Case, Path]) -> None:
    case, root = found
    for options in ({"scale": (0.5, 1.5), "jitter": 0.5}, {}):
        transform = transforms.training((32, 48), **options)
        dataset = case.make(root, case.split, transform=transform)
        batch = collate([dataset[i] for i in range(4)])
        assert batch["image"].shape == (4, 3, 32, 48)
        for name in dataset.modalities:
            assert batch[name].shape[-2:] == (32, 48)
        for index in range(4):
            check_sample(dataset[index], dataset.modalities)


def test_wrong_root_says_what_to_do(found: tuple[Case, Path], tmp_path: Path) -> None:
    case, _ = found
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as error:
            case.make(root, case.split)
        text = str(error.value)
        assert str(root) in text
        assert case.kind.tree.strip().splitlines()[-1] in text
        assert case.kind.homepage in text
        assert case.kind.licence in text
        assert "has no" in text or "does not exist" in text


def test_impossible_modality(found: tuple[Case, Path]) -> None:
    case, root = found
    impossible = [name for name in declared() if name not in case.kind.supported]
    assert impossible
    with pytest.raises(DataError, match=f"{impossible[0]}.*can never have"):
        case.make(root, case.split, modalities=(impossible[0],))
    with pytest.raises(DataError, match="expected some of"):
        case.make(root, case.split, modalities=("dephts",))
    with pytest.raises(DataError, match="`split`"):
        case.make(root, "tain")


def damaged(case: Case, tmp_path: Path, harm: Callable[[Path], None]) -> list[tuple[str, Path]]:
    """Harm one file after the other; every file that a frame lists must be missed by name."""
    root = case.write(tmp_path / "data", **case.fake)
    dataset = case.make(root, case.split)
    frame = next(
        f for f in dataset.frames if len(f.files) == max(len(g.files) for g in dataset.frames)
    )
    index = dataset.frames.index(frame)
    dataset[index]
    failures = []
    for kind, path in frame.files.items():
        content = path.read_bytes()
        harm(path)
        with pytest.raises(DataError) as error:
            dataset[index]
        assert str(path) in str(error.value), f"{kind}: {error.value}"
        failures.append((str(error.value), path))
        path.write_bytes(content)
    dataset[index]
    return failures


@of_files
def test_missing_file_is_named(case: Case, tmp_path: Path) -> None:
    for text, path in damaged(case, tmp_path, Path.unlink):
        assert f"{path} is missing" in text


@of_files
def test_cut_off_file_is_named(case: Case, tmp_path: Path) -> None:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert damaged(case, tmp_path, cut)


@of_files
def test_empty_file_is_named(case: Case, tmp_path: Path) -> None:
    for text, _ in damaged(case, tmp_path, lambda path: path.write_bytes(b"")):
        assert "is empty" in text


def test_description_is_json_and_stable(found: tuple[Case, Path], tmp_path: Path) -> None:
    case, root = found
    split = case.split
    first = case.make(root, split).describe()
    again = case.make(case.write(tmp_path, **case.fake), split).describe()
    assert json.loads(json.dumps(first)) == first == again
    assert first["size"] == len(case.make(root, split))


def test_subset_and_split_file(found: tuple[Case, Path], tmp_path: Path) -> None:
    case, root = found
    split = case.split
    whole = case.make(root, split)
    part = case.make(root, split, subset=2)
    assert len(part) == 2
    assert {f.name for f in part.frames} < {f.name for f in whole.frames}
    listing = tmp_path / "mine.txt"
    names = [frame.name for frame in whole.frames][1::-1]
    write_split(listing, names)
    assert [f.name for f in case.make(root, split, split_file=listing).frames] == names
    write_split(listing, [*names, "not_there"])
    with pytest.raises(DataError, match="not_there"):
        case.make(root, split, split_file=listing)


def test_labelled_share(found: tuple[Case, Path]) -> None:
    """Half of the frames lose the first modality's labels and keep the others."""
    case, root = found
    split = case.split
    whole = case.make(root, split)
    name = whole.modalities[0]
    half = case.make(root, split, labelled={name: 0.5})
    void = 0 if name in ("depth", "normals") else 255
    hidden, labelled = 0, 0
    for index in range(len(whole)):
        full, part = whole[index], half[index]
        if not torch.equal(full[name], part[name]):
            assert bool((part[name] == void).all())
            hidden += 1
        labelled += bool((part[name] != void).any())
        assert all(torch.equal(full[other], part[other]) for other in whole.modalities[1:])
    assert hidden
    assert labelled
    with pytest.raises(DataError, match="labelled"):
        case.make(root, split, labelled={"dephts": 0.5})


def test_pickles(found: tuple[Case, Path]) -> None:
    """Loader processes that are spawned receive the dataset by pickle."""
    case, root = found
    dataset = case.make(root, case.split, transform=transforms.evaluation((32, 48)))
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0]["image"], dataset[0]["image"])


def test_a_modality_alone(found: tuple[Case, Path]) -> None:
    """Any one target can be had without the others, and has the same values."""
    case, root = found
    whole = case.make(root, case.split)
    for name in whole.modalities:
        alone = case.make(root, case.split, modalities=(name,))
        sample = alone[0]
        assert torch.equal(sample[name], whole[0][name])
        assert not [n for n in declared() if n in sample and n != name]


ANALYTIC = {  # readers of scenes with known depth: (scene of frame i, tolerance in metres)
    "cityscapes": lambda f, size: fakes.cityscapes.scene_of(
        f.name.split("_")[0], int(f.name.split("_")[1]), size
    ),
    "nyudv2": lambda f, size: fakes.nyudv2.scene_of(int(f.name), size),
    "nyud_mt": lambda f, size: fakes.nyudv2.scene_of(int(f.name), size),
    "synthia": lambda f, size: fakes.synthia.scene_of(int(f.name), size),
    "vkitti2": lambda f, size: fakes.vkitti2.scene_of(int(f.name[-5:]), size),
    "sevenscenes": lambda f, size: fakes.sevenscenes.scene_of(int(f.name[-6:]) // 5, size),
    "folder": lambda f, size: fakes.folder.scene_of(int(f.name[-2:]), size),
    "hub": lambda f, size: fakes.folder.scene_of(int(f.name[-8:]), size),
}


def test_depth_and_normals_are_true(found: tuple[Case, Path]) -> None:
    """Metres within the format's quantisation; normals within it and far from creases."""
    case, root = found
    if case.name not in ANALYTIC:
        assert "depth" not in case.kind.supported or "_" in case.name
        return
    dataset = case.make(root, "train")
    checked = 0
    for index, frame in enumerate(dataset.frames):
        sample = dataset[index]
        size = tuple(sample["image"].shape[-2:])
        scene = ANALYTIC[case.name](frame, size)
        depth, truth = sample["depth"][0], torch.from_numpy(scene.depth)
        known = depth > 0
        assert torch.allclose(depth[known], truth[known], rtol=0.01, atol=0.006)
        both = (sample["normals"].norm(dim=0) > 0) & known
        cosine = (sample["normals"] * torch.from_numpy(scene.normals).permute(2, 0, 1)).sum(0)[both]
        angles = cosine.clamp(-1, 1).acos().rad2deg()
        if len(angles):
            assert float(angles.median()) < 2.0
            assert float((angles < 30).float().mean()) > 0.9
            checked += 1
    assert checked >= len(dataset) // 2
