"""Depth in every container: integers by their scale, floats in metres, holes are 0."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from crosstask.data.folder.depth_maps import read_depth
from crosstask.data.sample import DataError

METRES = np.array([[1.0, 2.5, 0.0], [4.0, 0.0, 6.25]], np.float32)


def write(path: Path, array: np.ndarray, **text: str) -> Path:
    suffix = path.suffix
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez_compressed(path, depth=array, other=array[:1])
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["depth"] = array
    elif suffix == ".pfm":
        head = f"Pf\n{array.shape[1]} {array.shape[0]}\n-1.0\n".encode()
        path.write_bytes(head + array[::-1].astype("<f4").tobytes())
    else:
        chunks = PngImagePlugin.PngInfo()
        for key, value in text.items():
            chunks.add_text(key, value)
        Image.fromarray(array).save(path, **({"pnginfo": chunks} if suffix == ".png" else {}))
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".png", ".tif"])
def test_integers_are_scaled_whatever_holds_them(tmp_path: Path, suffix: str) -> None:
    stored = (METRES * 1000).astype(np.uint16)
    stored[0, 2] = 65535
    path = write(tmp_path / f"a{suffix}", stored)
    assert np.allclose(read_depth(path, 1000).metres, METRES)
    assert np.allclose(read_depth(path, 500).metres, 2 * METRES)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".tif", ".pfm"])
def test_floats_are_metres_and_sentinels_holes(tmp_path: Path, suffix: str) -> None:
    for hole in (np.nan, np.inf, -np.inf, -1.0, 65535.0):
        stored = np.where(METRES == 0, np.float32(hole), METRES)
        path = write(tmp_path / f"a{suffix}", stored)
        assert (read_depth(path, 1000).metres == METRES).all()


def test_a_png_that_states_its_scale_is_read_by_it(tmp_path: Path) -> None:
    stored = (METRES * 256).astype(np.uint16)
    path = write(tmp_path / "a.png", stored, scale=str(1 / 256), unit="metres")
    found = read_depth(path, 1000)
    assert (found.metres == METRES).all() and "256 units a metre" in found.note
    path = write(tmp_path / "b.png", stored, scale=str(1 / 256), unit="up to scale")
    assert "no metres" in read_depth(path, 1000).note


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".pfm", ".npy", ".exr", ".png", ".tif"])
def test_damage_names_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"PK\3\4 nothing\nof the\nkind")
    with pytest.raises(DataError, match=f"a{suffix}"):
        read_depth(path, 1000)


def test_types_and_shapes_that_are_no_depth(tmp_path: Path) -> None:
    for array in (METRES > 0, METRES.astype(np.uint8)):
        with pytest.raises(DataError, match="cannot hold depth"):
            read_depth(write(tmp_path / "a.npy", array), 1000)
    with pytest.raises(DataError, match="expected one channel"):
        read_depth(write(tmp_path / "a.npy", np.ones((2, 3, 2))), 1000)
    np.savez(tmp_path / "b.npz", x=METRES, y=METRES)
    with pytest.raises(DataError, match="2 arrays"):
        read_depth(tmp_path / "b.npz", 1000)


def test_openexr_is_read_by_its_channel(tmp_path: Path) -> None:
    package = pytest.importorskip("OpenEXR")
    stored = np.where(METRES == 0, np.inf, METRES).astype(np.float32)
    header = {"compression": package.ZIP_COMPRESSION, "type": package.scanlineimage}
    for name, channels in {
        "z.exr": {"Z": stored, "R": stored + 1},
        "grey.exr": {"R": stored, "G": stored, "B": stored},
    }.items():
        package.File(header, channels).write(str(tmp_path / name))
        assert np.array_equal(read_depth(tmp_path / name, 1000).metres, METRES)
    package.File(header, {"R": stored, "G": stored + 1}).write(str(tmp_path / "two.exr"))
    with pytest.raises(DataError, match="which differ; expected one, or one called Z"):
        read_depth(tmp_path / "two.exr", 1000)
    data = (tmp_path / "z.exr").read_bytes()
    (tmp_path / "cut.exr").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.exr is damaged"):
        read_depth(tmp_path / "cut.exr", 1000)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_archives_damaged_anywhere_are_named(tmp_path: Path, suffix: str) -> None:
    """Halves swapped, and every 7th byte another one: whatever the library raises."""
    whole = write(tmp_path / f"whole{suffix}", METRES).read_bytes()
    middle = len(whole) // 3
    damaged = [whole[middle:] + whole[:middle], whole[: len(whole) // 2]]
    for place in range(0, len(whole), 7):
        damaged.append(whole[:place] + bytes([whole[place] ^ 0xA5]) + whole[place + 1 :])
    path, named = tmp_path / f"a{suffix}", 0
    for content in damaged:
        path.write_bytes(content)
        try:
            read_depth(path, 1000)
        except DataError as error:
            assert str(path) in str(error)
            named += 1
    assert named > 20
