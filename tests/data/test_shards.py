"""Packed samples are the samples, in the dataset's order, for whoever reads them."""

import json
import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes.camvid
import fakes.cityscapes
import fakes.nyudv2
import fakes.sevenscenes
from crosstask import data
from crosstask.cli.data import main
from crosstask.data import transforms
from crosstask.data.loading import train_loader
from crosstask.data.sample import DataError, WrongRoot
from crosstask.data.shards import Shards, _store, address, decode, encode, is_packed, open_split
from crosstask.data.tools.pack import pack
from fakes.object_store import object_store

SIZE = (48, 96)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(v, other[k]) and v.dtype == other[k].dtype
        if isinstance(v, torch.Tensor)
        else v == other[k]
        for k, v in one.items()
    )


def test_bytes_hold_a_sample_exactly(tmp_path: Path) -> None:
    """Eight bits where nothing is lost, as it is where something would be."""
    for number, (kind, fake) in enumerate(
        [(data.Cityscapes, fakes.cityscapes), (data.NYUDv2, fakes.nyudv2)]
    ):
        dataset = kind(fake.write(tmp_path / str(number)))
        sample = dataset[0]
        small = decode(encode(sample))
        assert small["image"].dtype == small["edges"].dtype == torch.uint8
        assert same(dataset._to_float(small), sample)
    deep = {"image": torch.rand(3, 4, 4), "depth": torch.tensor([[[0.0, 254.5]]]), "name": "a"}
    assert same(decode(encode(deep)), deep)
    negative = {"flow": torch.tensor([[-1.0, 3.0]])}
    assert torch.equal(decode(encode(negative))["flow"], negative["flow"])


def test_addresses() -> None:
    assert (
        address(Path("s3://bucket/shards")) == address("s3://bucket/shards") == "s3://bucket/shards"
    )
    assert address("/data/shards") == "/data/shards" and address("C:/data") == "C:/data"
    assert is_packed("s3://bucket/shards") and not is_packed("/nowhere")


def test_a_folder_of_files_is_opened_by_its_reader(tmp_path: Path) -> None:
    root = fakes.camvid.write(tmp_path)
    assert isinstance(open_split(data.CamVid, root, "val"), data.CamVid)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files and shards of Cityscapes at `SIZE`, 16 classes, depth up to 80 m."""
    root = fakes.cityscapes.write(tmp_path_factory.mktemp("files"))
    shards = tmp_path_factory.mktemp("shards") / "packed"
    options = ["--option", "classes=16", "--option", "far=80", "--size", "48x96", "--json"]
    split = ["--split", "train", "--split", "val"]
    arguments = ["pack", "cityscapes", "--root", str(root), "--output", str(shards)]
    assert main([*arguments, *options, *split, "--workers", "0"]) == 0
    return root, shards


@pytest.mark.parametrize("split", ["train", "val"])
def test_shards_are_the_dataset(packed: tuple[Path, Path], split: str) -> None:
    root, shards = packed
    files = data.Cityscapes(root, split, None, transforms.evaluation(SIZE), classes=16, far=80)
    read = open_split(data.Cityscapes, shards, split, classes=16, far=80.0, protocol="correct")
    assert isinstance(read, Shards) and read.classes == files.classes
    assert [f.name for f in read.frames] == [f.name for f in files.frames]
    assert set(read.modalities) == {"segmentation", "depth", "normals", "edges"}
    assert all(same(read[i], files[i]) for i in range(len(files)))
    assert [read.stored_size(i) for i in range(2)] == [files.stored_size(i) for i in range(2)]
    ours, theirs = read.describe(), files.describe()
    assert {k: ours[k] for k in ("source", "hash", "classes", "far")} == {
        k: theirs[k] for k in ("source", "hash", "classes", "far")
    }
    assert read.of_split("val").describe()["hash"] != read.of_split("train").describe()["hash"]
    assert same(pickle.loads(pickle.dumps(read))[1], files[1])


def test_order_and_resume_are_those_of_the_files(packed: tuple[Path, Path]) -> None:
    """The loader's batches, from the start and from the middle, with random mirrors and zooms."""
    root, shards = packed
    change = transforms.training((32, 64), scale=(0.8, 1.2))
    asked = ("segmentation", "depth")
    read = open_split(data.Cityscapes, shards, "train", asked, change, classes=16, far=80.0)
    again = open_split(data.Cityscapes, shards, "train", asked, change, classes=16, far=80.0)
    options: dict[str, Any] = {"batch_size": 2, "batches": 5, "seed": 3, "workers": 0}
    whole = list(train_loader(read, **options))
    rest = list(train_loader(again, **options, start=3))
    assert [b["name"] for b in whole[3:]] == [b["name"] for b in rest]
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(whole[3:], rest, strict=True))
    files = data.Cityscapes(root, "train", asked, change, classes=16, far=80.0)
    assert [b["name"] for b in train_loader(files, **options)] == [b["name"] for b in whole]
    half = open_split(data.Cityscapes, shards, "train", asked, subset=0.5, classes=16, far=80.0)
    named = data.Cityscapes(root, "train", asked, subset=0.5).frames
    assert [f.name for f in half.frames] == [f.name for f in named]


def test_what_was_not_packed_is_told(packed: tuple[Path, Path], tmp_path: Path) -> None:
    _, shards = packed
    with pytest.raises(
        DataError, match=r"packed with `classes` 16, and 19 is asked.*--option classes=19"
    ):
        open_split(data.Cityscapes, shards, "train", classes=19)
    with pytest.raises(DataError, match="holds train, val"):
        open_split(data.Cityscapes, shards, "test", classes=16)
    with pytest.raises(DataError, match="saliency"):
        open_split(data.Cityscapes, shards, "train", ("saliency",), classes=16)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds (c|thesis.txt), which is no shard"):
        main(
            [
                "pack",
                "camvid",
                "--root",
                str(fakes.camvid.write(tmp_path / "c")),
                "--output",
                str(tmp_path),
            ]
        )


def test_check_reads_shards(packed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, shards = packed
    capsys.readouterr()
    arguments = ["--root", str(shards), "--partial", "--split", "train", "--json"]
    assert main(["check", "cityscapes", *arguments]) == 0
    train = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert train["sizes"] == {"48x96": 4} and train["modalities"]["depth"]["labelled_frames"] == 4


def test_a_recipe_trains_on_shards_as_on_files(tmp_path: Path) -> None:
    """Packed as stored, a run's numbers are those of the files to the last bit."""
    import crosstask

    root, shards = fakes.camvid.write(tmp_path / "files"), tmp_path / "shards"
    assert main(["pack", "camvid", "--root", str(root), "--output", str(shards), "--json"]) == 0
    options: dict[str, Any] = {
        "tasks": "segmentation,edges", "architecture": "multi_task_matched", "encoder": "resnet10t",
        "pretrained": False, "width": 0.0625, "size": "32x64", "steps": 2, "batch_size": 2,
        "workers": 0, "accelerator": "cpu", "precision": "32", "progress": False,
    }  # fmt: skip
    found = [
        crosstask.train("camvid.supervised", run=tmp_path / name, root=str(place), **options)
        for name, place in (("a", root), ("b", shards))
    ]
    scores = ("segmentation/miou", "segmentation/pixel_accuracy")
    assert [found[0][name] for name in scores] == [found[1][name] for name in scores]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An S3 client of nobody: its own keys, and a home of its own for what is fetched."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return monkeypatch


@pytest.mark.parametrize("root", ["s3://bucket/shards", Path("s3://bucket/shards")], ids=repr)
def test_shards_of_an_object_store(
    root: str | Path, packed: tuple[Path, Path], credentials: pytest.MonkeyPatch
) -> None:
    """Over the real protocol: every sample is fetched by itself, and is that of the folder."""
    with object_store(packed[1].parent) as (endpoint, asked):
        credentials.setenv("AWS_ENDPOINT_URL", endpoint)
        name = packed[1].name
        root = type(root)(str(root).replace("shards", name))
        found = open_split(data.Cityscapes, root, "val", classes=16, far=80.0)
        local = open_split(data.Cityscapes, packed[1], "val", classes=16, far=80.0)
        assert found.address == f"s3://bucket/{name}"  # type: ignore[attr-defined]
        assert same(found[0], local[0]) and found.describe() == local.describe()
        assert same(found.of_split("train")[1], local.of_split("train")[1])
        again = pickle.loads(pickle.dumps(found))
        assert same(again[0], local[0])
        chunks = [line for line in asked if "/val/chunk" in line and line.startswith("GET")]
        assert chunks and all("bytes=" in line for line in chunks), "never a whole chunk"
        with pytest.raises(
            WrongRoot, match=r"s3://bucket/nowhere/meta holds no shards.*credential"
        ):
            open_split(data.Cityscapes, "s3://bucket/nowhere", "val")


def test_a_store_that_does_not_answer_is_told(credentials: pytest.MonkeyPatch) -> None:
    with socket.socket() as port:  # bound, but nobody listens
        port.bind(("127.0.0.1", 0))
        credentials.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port.getsockname()[1]}")
        retries = _store("s3://bucket/shards")["storage_options"]["config"].retries
        assert retries == {"max_attempts": 4, "mode": "standard"}
        credentials.setattr("crosstask.data.shards._ATTEMPTS", 0)
        with pytest.raises(WrongRoot, match=r"s3://bucket/shards/meta holds no shards.*network"):
            Shards("s3://bucket/shards", "val")
    assert _store("gs://bucket/shards") == _store("/folder") == {}


@pytest.mark.parametrize("root", ["s3://bucket/shards", "packed"])
def test_without_the_package_it_is_named(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litdata", None)
    if root == "packed":
        root = str(tmp_path)
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta/index.json").write_text("{}")
    with pytest.raises(DataError, match=r'pip install "crosstask\[shards\]"'):
        open_split(data.Cityscapes, root, "val")


def test_shards_that_name_no_options_of_the_reader(tmp_path: Path) -> None:
    """As packed from Python: the reader's defaults are those of every dataset."""
    plain = data.CamVid(fakes.camvid.write(tmp_path / "camvid"), "val")
    assert sum(pack({"val": plain}, tmp_path / "shards", None, {})) == len(plain)
    read = Shards(tmp_path / "shards", "val")
    assert (read.far, read.protocol) == (plain.far, plain.protocol) and same(read[0], plain[0])
