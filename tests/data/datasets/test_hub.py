"""Data sets of the library `datasets` are read by the rules of folders, straight from their rows."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from crosstask.data import DataError, FolderDataset, HubDataset
from crosstask.data.folder.depth_maps import UnknownUnit
from crosstask.data.loading import evaluation_loader
from crosstask.data.splits import random_split
from fakes.png import write_png
from fakes.rows import encoded, row, save, table

SIZE = (40, 56)
NUMBERS = np.random.default_rng(0)
ORIENTATION = 0x0112


def images() -> dict[str, dict[str, Any]]:
    """One of each kind that a library's decoder reads otherwise than this package."""
    colour = NUMBERS.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    alpha = np.concatenate([colour, NUMBERS.integers(0, 256, (*SIZE, 1), dtype=np.uint8)], axis=-1)
    deep = NUMBERS.integers(0, 65536, (*SIZE, 3)).astype(np.uint16)
    return {
        "turned.jpg": encoded(Image.fromarray(colour), "JPEG", exif=turned),
        "alpha.png": encoded(alpha),
        "grey.png": encoded(NUMBERS.integers(0, 65536, SIZE).astype(np.uint16)),
        "deep.png": {"bytes": _written(deep), "path": None},
    }


def _written(array: np.ndarray) -> bytes:
    with TemporaryDirectory() as folder:
        write_png(Path(folder) / "deep.png", array)
        return (Path(folder) / "deep.png").read_bytes()


def palette_mask(size: tuple[int, int]) -> dict[str, Any]:
    mask = Image.fromarray(NUMBERS.integers(0, 3, size, dtype=np.uint8), "P")
    mask.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0] + [0] * 759)
    return encoded(mask)


@pytest.mark.parametrize("name", images())
def test_a_sample_is_that_of_the_same_files(name: str, tmp_path: Path) -> None:
    """Image, palette of class indices, millimetres, grey edges, vectors and camera."""
    image, size = images()[name], SIZE[::-1] if name == "turned.jpg" else SIZE
    depth = encoded(NUMBERS.integers(500, 9000, size).astype(np.uint16))
    edges = encoded(NUMBERS.choice([0, 127, 255], size).astype(np.uint8))
    normals = NUMBERS.normal(size=(*size, 3)).astype(np.float32)
    camera = [50.0, 51.0, 27.0, 19.5]
    cells = {
        f"images/{name}": image,
        "segmentation": palette_mask(size),
        "depth": depth,
        "edges": edges,
    }
    for path, cell in cells.items():
        file = tmp_path / "folder" / (path if "." in path else f"{path}/{Path(name).stem}.png")
        file.parent.mkdir(parents=True)
        file.write_bytes(cell["bytes"])
    (tmp_path / "folder/normals").mkdir()
    np.save(tmp_path / f"folder/normals/{Path(name).stem}.npy", normals)
    (tmp_path / "folder/intrinsics.txt").write_text(" ".join(map(str, camera)))
    found = table(
        [
            {
                "image": image,
                "label": cells["segmentation"],
                "depth": depth,
                "edges": edges,
                "normals": normals,
                "camera": camera,
            }
        ],
        depth=datasets.Image(),
        edges=datasets.Image(),
        normals=datasets.Array3D((*size, 3), "float32"),
    )
    options: dict[str, Any] = {"split": "all", "classes": 3, "depth_scale": 1000}
    ours = HubDataset(save(tmp_path / "set", found), **options)
    theirs = FolderDataset(tmp_path / "folder", **options)
    assert ours.modalities == theirs.modalities == ("segmentation", "depth", "normals", "edges")
    one, other = ours[0], theirs[0]
    for key in (*ours.modalities, "image", "intrinsics"):
        assert torch.equal(one[key], other[key]), key
    assert (one["segmentation"].unique().tolist(), one["depth"].max() < 9.1) == ([0, 1, 2], True)


def millimetres(**text: str) -> dict[str, Any]:
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    return encoded(np.full(SIZE, 2500, np.uint16), pnginfo=info)


@pytest.mark.parametrize(
    ("cell", "feature"),
    [
        (millimetres(), datasets.Image()),
        (np.full(SIZE, 2500, np.int32), datasets.Array2D(SIZE, "int32")),
    ],
)
def test_depth_in_integers_needs_a_unit(cell: Any, feature: Any, tmp_path: Path) -> None:
    image = encoded(np.zeros((*SIZE, 3), np.uint8))
    root = save(tmp_path / "set", table([{"image": image, "depth": cell}], depth=feature))
    with pytest.raises(UnknownUnit, match=r"set\[0\]\['depth'\] holds .*`depth_scale`"):
        HubDataset(root, "all")
    assert float(HubDataset(root, "all", depth_scale=500)[0]["depth"].max()) == 5
    assert HubDataset(root, "all", modalities=())[0]["image"].shape == (3, *SIZE)
    (root / "folder.yaml").write_text("depth_scale: 250\n")
    assert float(HubDataset(root, "all")[0]["depth"].max()) == 10


def test_depth_that_says_its_scale_and_floats_need_none(tmp_path: Path) -> None:
    image = encoded(np.zeros((*SIZE, 3), np.uint8))
    rows = [{"image": image, "depth": millimetres(scale="0.01")}]
    root = save(tmp_path / "png", table(rows, depth=datasets.Image()))
    assert float(HubDataset(root, "all")[0]["depth"].max()) == 25
    floats = encoded(Image.fromarray(np.full(SIZE, 2.5, np.float32)), "TIFF")
    rows = [{"image": image, "depth": floats}]
    root = save(tmp_path / "tiff", table(rows, depth=datasets.Image()))
    assert float(HubDataset(root, "all")[0]["depth"].max()) == 2.5


def test_splits_are_the_sets_own_or_drawn_as_of_folders(tmp_path: Path) -> None:
    rows = [{"image": row(i)["image"]} for i in range(10)]
    one = save(tmp_path / "one", table(rows))
    names = [f"{i:08d}" for i in range(10)]
    parts = random_split(names, 0.8, seed=3)
    for split, expected in zip(("train", "val"), parts, strict=True):
        assert [f.name for f in HubDataset(one, split, seed=3).frames] == expected
    given = {"train": table(rows[:5]), "test": table(rows[5:7]), "extra": table(rows[7:])}
    three = save(tmp_path / "three", given)
    train, val, test = (HubDataset(three, split) for split in ("train", "val", "test"))
    assert [f.name for f in test.frames] == ["test/00000000", "test/00000001"]
    assert len(train) == 4 and len(val) == 1
    assert {f.name.split("/")[0] for d in (train, val) for f in d.frames} == {"train"}
    assert "the split extra is none of train, val and test" in str(train.unread()[0])
    scored = save(tmp_path / "scored", {"validation": table(rows[:2])})
    assert len(HubDataset(scored, "val")) == 2
    with pytest.raises(DataError, match="no frame of the split 'train'; its splits: validation"):
        HubDataset(scored)
    with pytest.raises(DataError, match="has the splits a, b; expected train"):
        HubDataset(save(tmp_path / "ab", {"a": table(rows[:2]), "b": table(rows[2:4])}))


def test_class_names_are_those_of_a_column_or_given(tmp_path: Path) -> None:
    labels = datasets.ClassLabel(names=["floor", "wall"])
    ids = [[0] * SIZE[1]] * 20 + [[1] * SIZE[1]] * 19 + [[-1] * SIZE[1]]
    rows = [{"image": encoded(np.zeros((*SIZE, 3), np.uint8)), "label": ids, "seen": [0, 1]}]
    own = table(rows, label=datasets.List(datasets.List(labels)))
    found = HubDataset(save(tmp_path / "own", own), "all")
    assert found.classes is not None and found.classes.names == ("floor", "wall")
    assert found[0]["segmentation"][[0, 30, 39], 0].tolist() == [0, 1, 255]
    plain = table(
        rows,
        label=datasets.List(datasets.List(datasets.Value("int16"))),
        seen=datasets.List(labels),
    )
    root = save(tmp_path / "plain", plain)
    with pytest.raises(DataError, match="names of the classes: give `classes`"):
        HubDataset(root, "all")
    (tmp_path / "names.txt").write_text("floor 1 2 3\nwall 4 5 6\n")
    for classes in ("seen", "floor, wall", ["floor", "wall"], str(tmp_path / "names.txt")):
        given = HubDataset(root, "all", classes=classes)
        assert given.classes is not None and given.classes.names == ("floor", "wall")
    with pytest.raises(DataError, match="the column image, which has no class names; its columns"):
        HubDataset(root, "all", classes="image")
    with pytest.raises(DataError, match="'wall' twice"):
        HubDataset(root, "all", classes="wall,wall")


def test_rows_that_were_chosen_and_reordered_reach_worker_processes(tmp_path: Path) -> None:
    """Void where a mask is missing, whatever the order on disk."""
    whole = table([row(i) for i in range(6)])
    root = save(tmp_path / "set", whole.select([5, 3, 0, 2]))
    dataset = HubDataset(root, "all", classes=6, modalities=("segmentation", "depth"))
    assert ["segmentation" in frame.files for frame in dataset.frames] == [False, True, True, False]
    copied = pickle.loads(pickle.dumps(dataset))
    loaded = list(evaluation_loader(dataset, batch_size=1, workers=2))
    for index, number in enumerate((5, 3, 0, 2)):
        assert torch.equal(copied[index]["depth"][0], torch.from_numpy(row(number)["depth"]))
        for key in ("image", "segmentation", "depth"):
            assert torch.equal(loaded[index][key][0], dataset[index][key])


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    whole = row(0)["image"]["bytes"]
    cells = [{"bytes": data, "path": None} for data in (whole[:300], b"", whole)]
    root = save(tmp_path / "set", {"train": table([{"image": cell} for cell in cells])})
    dataset = HubDataset(root, "all")
    for index, text in enumerate(("cut or damaged", "is empty")):
        with pytest.raises(DataError, match=text) as error:
            dataset[index]
        assert f"set['train'][{index}]['image']" in str(error.value)
    dataset[2]
    images = [{"image": row(0)["image"]}, {"image": None}]
    with pytest.raises(DataError, match=r"\[1\]\['image'\] holds no image"):
        HubDataset(save(tmp_path / "none", table(images)))


def test_a_parquet_file_that_others_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the library's notes on types; two columns stand for one target unless it is said which."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    struct = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    rows = [{**row(0), "mask": row(0)["label"]}]
    table(rows, image=struct, label=struct, mask=struct).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="label and mask could each be segmentation"):
        HubDataset(tmp_path / "rows.parquet", "all")
    columns = {"segmentation": "mask"}
    found = HubDataset(tmp_path / "rows.parquet", "all", columns=columns, classes=6)
    assert found.columns == {"image": "image", "segmentation": "mask"}
    assert found[0]["segmentation"].unique().tolist() == [0, 1, 2, 3, 4, 5, 255]
    assert found.frames[0].name == "train/00000000"  # what `load_dataset` calls a lone file
    with pytest.raises(DataError, match=r"`modalities` has 'depth'.*`columns` depth=NAME"):
        HubDataset(tmp_path / "rows.parquet", columns=columns, modalities=("depth",))
    with pytest.raises(DataError, match="has thermal_input, which is no input"):
        HubDataset(tmp_path / "rows.parquet", columns={"thermal_input": "label"})
