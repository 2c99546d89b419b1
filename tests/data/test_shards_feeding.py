"""A model trained from shards is fed as one trained from the files that were packed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosstask
from crosstask.cli.data import main
from crosstask.data import DataError, FolderDataset
from crosstask.data.feeding import RGB
from crosstask.data.shards import Shards, open_split
from crosstask.data.tools import pack as packing
from crosstask.data.transforms import evaluation
from fakes.png import write_png

DECLARED = "value_range: 29000..31000\nchannels: thermal,depth=0..20\ndepth_scale: 256\n"
SIZE = (32, 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Thermal images of 16 bits with the depth of a sensor; `folder.yaml` says how both are stored."""
    random, place = np.random.default_rng(0), tmp_path / "files"
    for part in ("train", "val"):
        for index in range(2):
            degrees = random.integers(29000, 31000, (40, 48)).astype(np.uint16)
            file = f"{part}/{index}.png"
            write_png(place / "images" / file, degrees)
            write_png(place / "depth_input" / file, np.full((40, 48), 256 * 5, np.uint16))
            write_png(place / "segmentation" / file, (degrees > 30000).astype("uint8"))
    (place / "classes.txt").write_text("cold\nwarm\n")
    (place / "folder.yaml").write_text(DECLARED)
    return place


def pack(root: Path, *options: str) -> Path:
    shards = root.parent / "shards"
    arguments = ["pack", "folder", "--root", str(root), "--output", str(shards), "--json"]
    assert main([*arguments, "--workers", "0", "--split", "train", "--split", "val", *options]) == 0
    return shards


@pytest.mark.parametrize("options", [(), ("--size", "20x24")], ids=["as stored", "resized"])
def test_shards_say_how_their_images_were_read(root: Path, options: tuple[str, ...]) -> None:
    change = evaluation(SIZE, fit="keep")
    files = FolderDataset(root, "val", None, change)
    read = open_split(FolderDataset, pack(root, *options), "val", None, change)
    fed = files.feeding()
    assert isinstance(read, Shards) and fed is not None
    assert (fed.channels, fed.ranges) == (("thermal", "depth"), {"depth": (0.0, 20.0)})
    assert fed.depth_scale == 256 and fed.fit == "keep" and fed.size == SIZE
    assert read.feeding() == fed and read.of_split("train").feeding() == fed
    assert read.value_range == files.value_range == (29000.0, 31000.0)
    assert read.describe()["value_range"] == files.describe()["value_range"] == "29000..31000"
    read.transform = None
    assert read.feeding() is None


def test_shards_that_do_not_say_it_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those are that were packed before it was stored."""
    facts = packing._facts

    def fewer(*arguments: Any) -> dict[str, Any]:
        left_out = ("value_range", "feeding")
        return {key: v for key, v in facts(*arguments).items() if key not in left_out}

    monkeypatch.setattr(packing, "_facts", fewer)
    read = open_split(FolderDataset, pack(root), "val", None, evaluation(SIZE))
    fed = read.feeding()
    assert fed is not None and (fed.channels, fed.size) == (RGB, SIZE)
    assert read.value_range is None and read[0]["image"].shape == (2, *SIZE)


def test_models_of_files_and_of_shards_record_the_same(root: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "tasks": "segmentation", "architecture": "multi_task", "encoder": "resnet10t",
        "pretrained": False, "width": 0.0625, "size": "32x64", "steps": 1, "batch_size": 2,
        "workers": 0, "accelerator": "cpu", "precision": "32", "progress": False,
    }  # fmt: skip
    records = []
    for name, place in (("a", root), ("b", pack(root, "--option", "far=80"))):
        crosstask.train("folder.supervised", run=tmp_path / name, root=str(place), **options)
        described = json.loads((tmp_path / name / "model.json").read_text())
        records.append((described["value_range"], described["feeding"]))
    assert records[0] == records[1]
    assert records[0][0] == "29000..31000"
    assert records[0][1]["channels"] == ["thermal", "depth"]


def test_squeezed_shards_are_not_fed_with_their_aspect_kept(root: Path) -> None:
    shards = pack(root, "--size", "32x64")  # of images of 40x48
    with pytest.raises(
        DataError, match="was packed with `--size 32x64`, which squeezed images of 40x48"
    ):
        open_split(FolderDataset, shards, "val", None, evaluation(SIZE, fit="keep"))
    assert len(open_split(FolderDataset, shards, "val", None, evaluation(SIZE))) == 2
    assert len(open_split(FolderDataset, shards, "val")) == 2
