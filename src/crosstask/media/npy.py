"""NumPy's .npy files, read without trust in their header."""

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from crosstask.media.reading import DataError, read_bytes

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_MOST_AXES = 8
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[a-zA-Z]\d{1,3})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\sL,]*)\)""")
_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "float"}


def read_npy(path: Path) -> np.ndarray:
    """A numeric array. The header is matched, never evaluated, and held against the file's length.

    Raises:
        DataError: missing, empty, no .npy file, damaged or cut, or an array of something else
            than booleans, integers or floats.
    """
    return parse_npy(path, read_bytes(path))


def parse_npy(path: Path, data: bytes) -> np.ndarray:
    """`read_npy` of bytes that have been read; `path` is for errors."""
    dtype, fortran, shape, start = _header(path, data)
    expected, found = prod(shape) * dtype.itemsize, len(data) - start
    if expected != found:
        state = "cut off" if found < expected else "damaged"
        raise DataError(
            f"{path} is {state}: its header promises {dtype} {shape}, which are {expected} bytes, "
            f"and {found} follow; fetch it again, or save it again with numpy.save"
        )
    if expected == 0:
        raise DataError(f"{path} has the shape {shape}: no values; save it again with its data")
    array = np.frombuffer(bytearray(data[start:]), dtype=dtype)
    array = array.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(path: Path, data: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """Data type, Fortran order, shape, and where the values start."""
    if not data.startswith(_MAGIC) or len(data) < 12:
        raise DataError(f"{path} is no .npy array (it begins with {data[:6]!r}); fetch it again")
    if data[6] not in (1, 2, 3):
        raise DataError(f"{path} is a .npy file of version {data[6]}; expected 1, 2 or 3")
    wide = 2 if data[6] == 1 else 4
    length, start = int.from_bytes(data[8 : 8 + wide], "little"), 8 + wide
    if length > _LONGEST_HEADER or start + length > len(data):
        raise DataError(
            f"{path} is cut off or damaged: its .npy header claims {length} bytes; fetch it again"
        )
    text = data[start : start + length].decode("latin-1")
    descr, order, shape = (found.search(text) for found in (_DESCR, _ORDER, _SHAPE))
    if descr is None or order is None or shape is None:
        raise DataError(
            f"{path} is damaged or no array of numbers: its .npy header is {text.strip()[:80]!r}; "
            "expected integers or floats; save it again with numpy.save(file, numpy.asarray(x))"
        )
    sides = tuple(int(side) for side in re.findall(r"\d{1,15}", shape[1]))
    if len(sides) > _MOST_AXES:
        raise DataError(f"{path} has {len(sides)} axes; expected at most {_MOST_AXES}")
    return _dtype(path, descr[1]), order[1] == "True", sides, start + length


def _dtype(path: Path, text: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(text)
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise DataError(
            f"{path} holds values of the type {text!r}; expected booleans, integers or floats; save "
            "it again with numpy.save(file, x.astype('float32'))"
        )
    return dtype
