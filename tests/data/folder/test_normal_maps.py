"""Normals of own folders: vectors, or colours that are told as such."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crosstask.data.files import read_normals
from crosstask.data.sample import DataError
from fakes.png import write_png

UNIT = np.array([[[0.0, 0.0, -1.0], [0.6, 0.0, -0.8]], [[0.0, -1.0, 0.0], [-0.6, 0.8, 0.0]]])
COLOURS = ((UNIT + 1) / 2 * 255).round().astype(np.uint8)


def test_bytes_are_colours_in_a_png_and_in_an_array(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", COLOURS)
    np.save(tmp_path / "a.npy", COLOURS)
    png, array = read_normals(tmp_path / "a.png"), read_normals(tmp_path / "a.npy")
    assert torch.equal(png, array)
    vectors = torch.from_numpy(UNIT.transpose(2, 0, 1)).float()
    torch.testing.assert_close(png, vectors, rtol=0, atol=1 / 250)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_vectors(tmp_path: Path, dtype: type) -> None:
    for vectors in (
        UNIT,
        np.abs(UNIT),
        np.zeros_like(UNIT),
    ):  # all positive and of length 1: vectors
        np.save(tmp_path / "a.npy", vectors.astype(dtype))
        expected = torch.from_numpy(vectors.transpose(2, 0, 1)).float()
        torch.testing.assert_close(read_normals(tmp_path / "a.npy"), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ((UNIT + 1) / 2, "colours from 0 to 1"),
        (COLOURS.astype(np.float32), "colours from 0 to 1"),
        (COLOURS.astype(np.int64), "holds int64"),
        (UNIT[..., :2], "expected"),
    ],
)
def test_what_is_no_vector_is_refused(tmp_path: Path, stored: np.ndarray, told: str) -> None:
    np.save(tmp_path / "a.npy", stored)
    with pytest.raises(DataError, match=told):
        read_normals(tmp_path / "a.npy")
