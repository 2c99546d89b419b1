"""Images as people keep them in a folder: turned, deep, in subfolders, of many endings."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.data import FolderDataset
from crosstask.data.sample import DataError
from fakes.png import write_png

SIZE = (32, 48)


def photo(path: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", size[::-1], (10, 20, 30)).save(path, exif=exif)
    return path


def mask(path: Path, size: tuple[int, int] = SIZE) -> Path:
    write_png(path, np.zeros(size, np.uint8))
    return path


def folder(root: Path, **options: object) -> FolderDataset:
    return FolderDataset(root, "all", classes=2, **options)  # type: ignore[arg-type]


# EXIF ---------------------------------------------------------------------------------------------


def test_a_turned_photo_meets_its_upright_mask_and_camera(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg", (32, 48), orientation=6)
    mask(tmp_path / "segmentation" / "a.png", (48, 32))
    (tmp_path / "intrinsics.txt").write_text("60 50 20 10")  # of the sensor: 32 rows, 48 columns
    sample = folder(tmp_path)[0]
    assert sample["image"].shape == (3, 48, 32) and sample["segmentation"].shape == (48, 32)
    assert sample["intrinsics"].tolist() == [[50, 0, 31 - 10], [0, 60, 20], [0, 0, 1]]


def test_a_mask_of_the_stored_image_is_an_error_that_says_exif(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg", (32, 48), orientation=6)
    mask(tmp_path / "segmentation" / "a.png", (32, 48))
    with pytest.raises(DataError, match=r"EXIF orientation 6.*turn the label"):
        folder(tmp_path)[0]
    mask(tmp_path / "segmentation" / "a.png", (32, 47))
    with pytest.raises(DataError, match="must agree") as caught:
        folder(tmp_path)[0]
    assert "EXIF" not in str(caught.value)


# Depth of grey ------------------------------------------------------------------------------------


def thermal(root: Path) -> None:
    row = np.linspace(29000, 31000, SIZE[1]).astype(np.uint16)
    write_png(root / "images" / "a.png", np.tile(row, (SIZE[0], 1)))


def test_thermal_images_warn_once_and_a_range_spreads_them(tmp_path: Path) -> None:
    thermal(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"7\.\d of 256 grey levels.*value_range") as told:
        data = folder(tmp_path)
        narrow = data[0]["image"], data[0]["image"]
    assert len(told) == 1 and narrow[0].dtype == torch.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = folder(tmp_path, value_range="29000..31000")[0]["image"]
    assert image.amin() == 0 and image.amax() == 1
    assert len(image[0, 0].unique()) == len(narrow[0][0, 0].unique()) == SIZE[1]  # nothing is lost


def test_check_tells_of_few_grey_levels_and_unread_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thermal(tmp_path)
    photo(tmp_path / "images" / "b.jpg")
    (tmp_path / "images" / "notes.txt").write_text("x")
    (tmp_path / "images" / "Thumbs.db").write_text("x")
    command = ["data", "check", "folder", "--root", str(tmp_path), "--split", "all", "--json"]
    with pytest.warns(RuntimeWarning, match="grey levels"):
        assert main(command) == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["splits"]["all"]["notes"])
    assert "1 images, such as a: 7." in notes and "notes.txt" in notes and "Thumbs" not in notes
    assert main([*command, "--option", "value_range=29000..31000"]) == 1  # b.jpg has 8 bits
    defects = json.loads(capsys.readouterr().out)["splits"]["all"]["defects"]
    assert len(defects) == 1 and "b.jpg has 8 bits a channel" in defects[0]


# Files and folders --------------------------------------------------------------------------------


def test_endings_of_any_case_and_kind(tmp_path: Path) -> None:
    for number, suffix in enumerate((".PNG", ".JPeG", ".bmp", ".webp", ".TIF", ".tiff", ".ppm")):
        path = tmp_path / "images" / f"{number}{suffix}"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1], (10, 20, 30)).save(path)
        mask(tmp_path / "segmentation" / f"{number}.PNG")
    for junk in ("Thumbs.db", ".DS_Store", "._0.png", "desktop.ini", "0.png~"):
        for kind in ("images", "segmentation"):
            (tmp_path / kind / junk).write_text("x")
    data = folder(tmp_path)
    assert len(data) == 7 and not data.unread()
    assert all((sample["segmentation"] == 0).all() for sample in data)


def test_an_image_that_is_not_read_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "b.HEIC").write_bytes(b"x")
    with pytest.raises(DataError, match=r"b\.HEIC is an image of a kind that is not read.*convert"):
        folder(tmp_path)


def test_subfolders_named_after_splits_are_the_splits(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "valid/a", "Test/c/d"):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask(tmp_path / "segmentation" / f"{name}.png")

    def names(split: str) -> list[str]:
        data = FolderDataset(tmp_path, split, classes=2)
        assert all((sample["segmentation"] == 0).all() for sample in data)
        return [frame.name for frame in data.frames]

    assert names("train") == ["train/a", "train/b"]
    assert names("val") == ["valid/a"] and names("test") == ["Test/c/d"]
    photo(tmp_path / "images" / "loose.jpg")
    with pytest.raises(DataError, match="'loose' outside of its folders for train"):
        names("train")


def test_without_a_val_folder_part_of_train_is_val(tmp_path: Path) -> None:
    for number in range(10):
        photo(tmp_path / "images" / "train" / f"{number}.jpg")
    photo(tmp_path / "images" / "test" / "0.jpg")
    sizes = [len(FolderDataset(tmp_path, split, ())) for split in ("train", "val", "test", "all")]
    assert sizes == [8, 2, 1, 11]


def test_other_subfolders_are_parts_of_the_name(tmp_path: Path) -> None:
    for name in ("monday/a", "tuesday/a"):
        photo(tmp_path / "images" / f"{name}.jpg")
    mask(tmp_path / "segmentation" / "tuesday" / "a.png")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.txt").write_bytes("tuesday/a\r\n".encode("utf-16"))
    data = FolderDataset(tmp_path, "train", classes=2)
    assert [frame.name for frame in data.frames] == ["tuesday/a"]
    assert bool((data[0]["segmentation"] == 0).all())
    mask(tmp_path / "segmentation" / "a.png")
    with pytest.raises(DataError, match=r"segmentation/a\.png has no image images/a"):
        folder(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_class_names_hold_no_byte_order_marks(encoding: str, tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg")
    text = "# my classes\r\nflür\t90 80 70\r\ntraffic light\t1 2 3\r\n\r\n"
    (tmp_path / "classes.txt").write_bytes(text.encode(encoding))
    classes = FolderDataset(tmp_path, "all").classes
    assert classes is not None and classes.names == ("flür", "traffic light")
    assert tuple(classes.colors[0]) == (90, 80, 70)
