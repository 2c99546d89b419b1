"""Edges and saliency: 0/1, 0/255, booleans and grey give the same map."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosstask.data.folder.binary_maps import read_binary, soft_share
from crosstask.data.sample import DataError

MAP = np.array([[0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    "stored",
    [
        MAP.astype(np.uint8),
        (MAP * 255).astype(np.uint8),
        np.repeat((MAP * 255).astype(np.uint8)[..., None], 3, axis=-1),
        (MAP * 65535).astype(np.uint16),
        MAP.astype(bool),
        MAP.astype(np.float32),
        MAP.astype(np.float32) * 255,
    ],
)
def test_every_storage_gives_the_same_map(tmp_path: Path, stored: np.ndarray) -> None:
    path = tmp_path / "a.png"
    if stored.dtype.kind == "f":
        np.save(path.with_suffix(".npy"), stored)
        path = path.with_suffix(".npy")
    else:
        Image.fromarray(stored).save(path)
    assert read_binary(path, unknown=True).tolist() == MAP.tolist()
    assert soft_share(path, unknown=True)[0] == 0


def test_grey_is_cut_in_the_middle_and_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 60, 200, 127, 255]], np.uint8)).save(path)
    assert read_binary(path, unknown=True).tolist() == [[0, 0, 1, 255, 1]]
    assert read_binary(path, unknown=False).tolist() == [[0, 0, 1, 0, 1]]
    assert soft_share(path, unknown=True) == (0.4, "60, 200")
    assert soft_share(path, unknown=False)[0] == 0.6


def test_colours_are_no_binary_map(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (255, 0, 0)).save(path)
    with pytest.raises(DataError, match="channels that differ"):
        read_binary(path, unknown=False)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
def test_255_beside_1_is_never_a_guess(tmp_path: Path, dtype: type) -> None:
    """It was the edge, and the edges were none: void of many tools, and of this library's samples."""
    np.save(tmp_path / "a.npy", np.array([[0, 1, 255]], dtype))
    with pytest.raises(DataError, match=r"holds 0, 1 and 255.*-1"):
        read_binary(tmp_path / "a.npy", unknown=True)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([[0, 1, np.inf]], np.float32), [0, 1, 255]),
        (np.array([[0, 1, -np.inf]], np.float32), [0, 1, 255]),
        (np.array([[0, 1, np.nan]], np.float32), [0, 1, 255]),
        (np.array([[0, 1, -1]], np.float32), [0, 1, 255]),
        (np.array([[0, 1, -1]], np.int16), [0, 1, 255]),
        (np.array([[0, 255, -1]], np.int16), [0, 1, 255]),
        (np.array([[-0.01, 0.6, 1.0000001]], np.float32), [0, 1, 1]),
        (np.array([[0, 200, 255]], np.float32), [0, 1, 1]),
    ],
)
def test_what_is_not_known_is_void_and_changes_nothing_else(
    tmp_path: Path, stored: np.ndarray, expected: list[int]
) -> None:
    np.save(tmp_path / "a.npy", stored)
    assert read_binary(tmp_path / "a.npy", unknown=False)[0].tolist() == expected
