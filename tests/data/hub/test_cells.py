"""A cell is read as a file is."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from crosstask.data.hub.cells import Rows, storage_of
from crosstask.data.sample import DataError
from crosstask.geometry.camera_files import read_camera
from crosstask.media.images import image_facts, read_upright
from crosstask.media.npy import read_npy

NUMBERS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def rows(values: list[Any], feature: Any, kind: str) -> Rows:
    columns = datasets.Features({"column": feature})
    return Rows(
        datasets.Dataset.from_dict({"column": values}, features=columns), "set", {kind: "column"}
    )


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (NUMBERS, NUMBERS.transpose(2, 0, 1)),
        (NUMBERS.transpose(2, 0, 1), NUMBERS.transpose(2, 0, 1)),
        (NUMBERS[..., :1], NUMBERS[..., :1].repeat(3, -1).transpose(2, 0, 1)),
        (NUMBERS[..., 0], NUMBERS[..., :1].repeat(3, -1).transpose(2, 0, 1)),
    ],
)
def test_bytes_are_an_image(stored: np.ndarray, expected: np.ndarray) -> None:
    feature: Any = datasets.Value("uint8")
    for _ in stored.shape:
        feature = datasets.List(feature)
    cell = rows([stored.tolist()], feature, "image").cell("image", 0)
    assert (read_upright(cell).pixels.numpy() == expected).all()
    assert (image_facts(cell).height, image_facts(cell).width) == (4, 6)


def test_bytes_of_two_channels_are_none() -> None:
    found = rows([NUMBERS[..., :2]], datasets.Array3D((4, 6, 2), "uint8"), "image")
    with pytest.raises(DataError, match=r"set\[0\]\['column'\] has the shape"):
        read_upright(found.cell("image", 0))


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "uint16", "int64", "float16", "float32", "float64"]
)
def test_numbers_keep_their_type_and_lose_an_axis_of_one(dtype: str) -> None:
    values = NUMBERS[None, ..., 0].astype(dtype)
    found = rows([values], datasets.Array3D((1, 4, 6), dtype), "depth")
    read = read_npy(found.cell("depth", 0))
    assert read.dtype == dtype and (read == values[0]).all()


def test_lists_of_several_lengths_are_no_array() -> None:
    found = rows([[[1, 2], [3]]], datasets.List(datasets.List(datasets.Value("int32"))), "depth")
    with pytest.raises(DataError, match=r"set\[0\]\['column'\] is no array of numbers"):
        read_npy(found.cell("depth", 0))


@pytest.mark.parametrize(
    "camera", [[50.0, 51.0, 2.5, 1.5], [[50, 0, 2.5], [0, 51, 1.5], [0, 0, 1]]]
)
def test_numbers_of_a_camera(camera: list[Any]) -> None:
    feature: Any = datasets.List(datasets.Value("float64"))
    feature = datasets.List(feature) if isinstance(camera[0], list) else feature
    matrix = read_camera(rows([camera], feature, "intrinsics").cell("intrinsics", 0)).matrix
    assert matrix.tolist() == [[50, 0, 2.5], [0, 51, 1.5], [0, 0, 1]]


def test_an_image_outside_the_set_is_read_or_named(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("here.ppm", "gone.ppm")]
    Path(paths[0]).write_bytes(b"P6 6 4 255\n" + NUMBERS.tobytes())
    found = rows([{"bytes": None, "path": path} for path in paths], datasets.Image(), "image")
    assert (read_upright(found.cell("image", 0)).pixels.numpy() == NUMBERS.transpose(2, 0, 1)).all()
    with pytest.raises(DataError, match=r"gone\.ppm is missing"):
        read_upright(found.cell("image", 1))


def test_types_that_hold_neither_images_nor_numbers() -> None:
    text = datasets.Value("string")
    for feature in (text, datasets.List(text), {"a": text}, datasets.List(datasets.Image())):
        assert storage_of(feature) is None
