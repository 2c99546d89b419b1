"""Arrays are what their header says, or a named error; nothing in them is executed."""

import io
from pathlib import Path

import numpy as np
import pytest

from crosstask.media.npy import read_npy
from crosstask.media.reading import DataError


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint16", "int64", "bool", ">f4"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(dtype: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 3, dtype=dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert np.array_equal(found, array) and found.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.flags.writeable


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


FLOATS = saved(np.zeros((4, 5), np.float32))
WRONG = {
    "cut": (FLOATS[:-4], "cut off.*80 bytes, and 76 follow"),
    "longer": (FLOATS + b"1234", "damaged.*80 bytes, and 84 follow"),
    "cut header": (FLOATS[:50], "cut off or damaged"),
    "magic": (b"\x93NUMPX" + FLOATS[6:], "no .npy array"),
    "version": (FLOATS[:6] + b"\x09" + FLOATS[7:], "version 9"),
    "huge shape": (FLOATS.replace(b"(4, 5), }     ", b"(4999999, 5),}"), "promises float32"),
    "code": (FLOATS.replace(b"(4, 5), }", b"exit(3),}"), "damaged or no array of numbers"),
    "many axes": (saved(np.zeros((1,) * 9)), "has 9 axes"),
    "object": (saved(np.array([{}], dtype=object)), "no array of numbers"),
    "structured": (saved(np.zeros(2, dtype=[("a", "f4")])), "no array of numbers"),
    "complex": (
        saved(np.zeros(2, np.complex64)),
        "type '<c8'; expected booleans, integers or floats",
    ),
    "text": (saved(np.array(["a"])), "type '<U1'"),
    "dates": (saved(np.zeros(2, "M8[s]")), "damaged or no array"),
    "no values": (saved(np.zeros((0, 5))), "no values"),
    "nothing": (b"", "is empty"),
    "pickle": (b"\x80\x04K\x01.", "no .npy array"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_damaged_arrays_are_named(kind: str, tmp_path: Path) -> None:
    content, words = WRONG[kind]
    path = tmp_path / "depth.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_npy(path)
    assert str(path) in str(caught.value)


def test_whatever_is_flipped_is_an_array_or_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "a.npy"
    for _ in range(300):
        content = bytearray(FLOATS)
        content[random.integers(128)] = random.integers(256)
        path.write_bytes(content)
        try:
            assert read_npy(path).nbytes == 80
        except DataError as error:
            assert str(path) in str(error)
