"""Cells of a data set as files: each has a name, a suffix and bytes, and lies in a row of a split.

Images stay encoded, as the set stores them, and numbers become .npy: what the reader of a folder does with
files (EXIF, transparency, palettes, 16 bits, scales of depth) then holds here, and a decoder of the library's
that drops some of it has no part.
"""

import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosstask.data.hub.opening import library
from crosstask.data.sample import DataError
from crosstask.media.reading import read_bytes

IMAGE, INTRINSICS = "image", "intrinsics"
_SUFFIXES = (
    (b"\x89PNG", ".png"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"\x93NUMPY", ".npy"),
    (b"PK\x03\x04", ".npz"), (b"Pf\n", ".pfm"), (b"\x89HDF", ".h5"),
)  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """What a column holds.

    Attributes:
        dtype: of numbers, None of encoded images.
        axes: of an array of numbers, 0 of a single one.
        names: of the classes, where the numbers are indices of some.
    """

    dtype: str | None = None
    axes: int = 0
    names: tuple[str, ...] = ()

    def fits(self, kind: str) -> bool:
        """Whether its cells can be read as images, cameras, or maps of a target."""
        if kind == INTRINSICS:
            return self.dtype is not None and self.axes in (1, 2)
        if kind == IMAGE and self.dtype not in (None, "uint8"):
            return False
        return self.dtype is None or self.axes in (2, 3)

    def __str__(self) -> str:
        if self.dtype is None:
            return "image"
        what = "class labels" if self.names else self.dtype
        return f"{self.axes}-D {what}" if self.axes else what


def storage_of(feature: Any) -> Storage | None:
    """How the library stores a column; None for what holds neither images nor numbers."""
    datasets, axes = library(), 0
    while isinstance(feature, datasets.List | datasets.LargeList):
        feature, axes = feature.feature, axes + 1
    if isinstance(feature, dict) and feature.keys() == {
        "bytes",
        "path",
    }:  # without the library's notes
        feature = datasets.Image()
    if isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary"):
        feature = datasets.Image()
    if isinstance(feature, datasets.Image):
        return None if axes else Storage()
    arrays = (datasets.Array2D, datasets.Array3D, datasets.Array4D, datasets.Array5D)
    if isinstance(feature, arrays):
        return Storage(feature.dtype, axes + len(feature.shape))
    if isinstance(feature, datasets.ClassLabel):
        return Storage("int64", axes, tuple(feature.names))
    if isinstance(feature, datasets.Value) and feature.dtype.startswith(
        ("bool", "int", "uint", "float")
    ):
        return Storage(feature.dtype, axes)
    return None


class Rows:
    """A split: cells by kind (`image`, `intrinsics`, or a target's name) and row.

    Args:
        table: a `datasets.Dataset`.
        name: as it is called in messages.
        columns: {kind: its column}.
    """

    def __init__(self, table: Any, name: str, columns: Mapping[str, str]) -> None:
        self.name, self.columns, self._size = name, dict(columns), len(table)
        self.storages = {k: storage_of(table.features[c]) or Storage() for k, c in columns.items()}
        self._views = {k: _view(table, c, self.storages[k]) for k, c in columns.items()}
        self._present = {k: _present(table, c) for k, c in columns.items()}
        self._held: tuple[int, dict[str, bytes]] = (-1, {})

    def __len__(self) -> int:
        return self._size

    def __getstate__(self) -> dict[str, Any]:
        """Without the cells that are held."""
        return {**self.__dict__, "_held": (-1, {})}

    def has(self, kind: str, row: int) -> bool:
        """Whether a cell is filled."""
        present = self._present.get(kind, ())
        return present is None or (row < len(present) and present[row])

    def cell(self, kind: str, row: int) -> "Cell":
        cell = Cell(f"{self.name}[{row}][{self.columns[kind]!r}]")
        cell.place = (self, kind, row)
        return cell

    def read(self, kind: str, row: int) -> bytes:
        """The bytes of a cell; those of one row are kept, since a file is read more than once."""
        held_row, held = self._held
        if held_row != row:
            held = {}
            self._held = (row, held)
        if kind not in held:
            held[kind] = self._encoded(kind, row)
        return held[kind]

    def _encoded(self, kind: str, row: int) -> bytes:
        name, dtype = str(self.cell(kind, row)), self.storages[kind].dtype
        if dtype is not None:
            try:
                array = np.asarray(self._views[kind][row][self.columns[kind]], dtype)
            except (ValueError, TypeError) as error:  # lists of several lengths
                raise DataError(f"{name} is no array of numbers ({error})") from error
            return _ENCODERS.get(kind, _npy)(array, name)
        value = self._views[kind][row][self.columns[kind]]
        if isinstance(value, Mapping):
            if value["bytes"] is None and value["path"] is not None:
                return read_bytes(Path(value["path"]))
            value = value["bytes"]
        return bytes(value or b"")


class Cell(type(Path())):  # type: ignore[misc]  # before Python 3.12 `Path` itself has no subclasses
    """A cell as a file: made by `Rows.cell`, read by whatever reads a path."""

    place: tuple[Rows, str, int]

    def __reduce__(self) -> Any:
        rows, kind, row = self.place
        return rows.cell, (kind, row)

    @property
    def suffix(self) -> str:
        """By what it holds; empty for an image of another format."""
        rows, kind, _ = self.place
        if rows.storages[kind].dtype is not None:
            return {IMAGE: ".ppm", INTRINSICS: ".txt"}.get(kind, ".npy")
        begin = self._read()[:8]
        return next((suffix for magic, suffix in _SUFFIXES if begin.startswith(magic)), "")

    def _read(self) -> bytes:
        rows, kind, row = self.place
        return rows.read(kind, row)

    def open(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self._read())

    def stat(self, **_: Any) -> os.stat_result:
        mode = stat.S_IFREG | 0o444
        return os.stat_result((mode, 0, 0, 1, 0, 0, len(self._read()), 0, 0, 0))

    def exists(self, **_: Any) -> bool:
        return True

    def is_file(self, **_: Any) -> bool:
        return True


def _view(table: Any, column: str, storage: Storage) -> Any:
    """The column alone: images as they are encoded, numbers as arrays."""
    view, datasets = table.select_columns([column]), library()
    if storage.dtype is not None:
        return view.with_format("numpy", dtype=np.dtype(storage.dtype))
    if isinstance(table.features[column], datasets.Image):
        view = view.cast_column(column, datasets.Image(decode=False))
    return view.with_format(None)


def _present(table: Any, column: str) -> Sequence[bool] | None:
    """Which cells are filled; None where all are."""
    if table.data.column(column).null_count == 0:
        return None
    batches = table.select_columns([column]).with_format("arrow").iter(batch_size=256)
    return [filled for batch in batches for filled in batch[column].is_valid().to_pylist()]


def _npy(array: np.ndarray, name: str) -> bytes:
    """As .npy; (1,H,W) as (H,W)."""
    file = io.BytesIO()
    np.save(file, array[0] if array.ndim == 3 and len(array) == 1 else array)
    return file.getvalue()


def _ppm(array: np.ndarray, name: str) -> bytes:
    """Bytes (H,W), (H,W,C) or (C,H,W), of one or three channels, as an image file."""
    if array.ndim == 2:
        array = array[..., None]
    elif array.shape[-1] not in (1, 3):
        array = array.transpose(1, 2, 0)
    height, width, channels = array.shape
    if channels not in (1, 3) or not array.size:
        raise DataError(
            f"{name} has the shape {array.shape}; expected (H, W), (H, W, 3) or (3, H, W)"
        )
    return b"P%d %d %d 255\n" % (5 + channels // 3, width, height) + array.tobytes()


def _text(array: np.ndarray, name: str) -> bytes:
    return " ".join(map(str, array.ravel().tolist())).encode()


_ENCODERS: Mapping[str, Callable[[np.ndarray, str], bytes]] = {IMAGE: _ppm, INTRINSICS: _text}
