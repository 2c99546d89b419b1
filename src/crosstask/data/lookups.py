"""From the ids and colours that label files hold to class indices: tables, strict about values they do not hold."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from crosstask.data.sample import DataError

VOID = 255


_UNKNOWN, _DEEP_UNKNOWN = 254, -1  # marks of values that a table does not know


Color = tuple[int, int, int]


def lookup(
    index: Mapping[int, int], known: Iterable[int], size: int = 256, void: int = VOID
) -> np.ndarray:
    """Table from stored id to class index: void for known ids without a class, a mark for others.

    Bytes, or int32 where `void` is more than one.

    Args:
        index: Class index by stored id.
        known: Every id that the format allows.
        size: One more than the largest id that a pixel can hold.
        void: Label of a pixel without a class.
    """
    table = _empty_table(size, void)
    table[list(known)] = void
    for stored, target in index.items():
        table[stored] = target
    return table


def _empty_table(size: int, void: int) -> np.ndarray:
    deep = void > VOID
    return np.full(size, _DEEP_UNKNOWN if deep else _UNKNOWN, np.int32 if deep else np.uint8)


def _mark(table: np.ndarray) -> int:
    return _UNKNOWN if table.dtype == np.uint8 else _DEEP_UNKNOWN


def apply_lookup(ids: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Class indices, in the table's data type, of an array of stored ids.

    Raises:
        DataError: A pixel holds an id that the table does not know; names file and values.
    """
    if ids.dtype != np.uint8 and int(ids.max(initial=0)) >= len(table):
        wrong = sorted({int(v) for v in np.unique(ids) if v >= len(table)})
        raise _unknown(path, wrong, table)
    classes = np.take(table, ids)  # twice as fast as table[ids]
    unknown = classes == _mark(table)
    if unknown.any():
        raise _unknown(path, [int(v) for v in np.unique(ids[unknown])], table)
    return classes


def _unknown(path: Path, values: Sequence[int], table: np.ndarray) -> DataError:
    shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    known = np.flatnonzero(table != _mark(table))
    return DataError(
        f"{path} holds the label value {shown}; expected {_spans(known)}. "
        "Is this the label file of another edition or dataset?"
    )


def _spans(values: np.ndarray) -> str:
    """Ascending values in words: "0 to 10, 255"."""
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


class ColorLookup:
    """Exact-match palette: (H,W,3) colours to class indices through one packed 24-bit table."""

    def __init__(self, colors: Mapping[Color, int]) -> None:
        self.colors = dict(colors)
        self._table: np.ndarray | None = None

    def _filled(self) -> np.ndarray:
        table = _empty_table(1 << 24, max(self.colors.values(), default=VOID))
        for (r, g, b), index in self.colors.items():
            table[(r << 16) | (g << 8) | b] = index
        return table

    def __call__(
        self, red: np.ndarray, green: np.ndarray, blue: np.ndarray, path: Path
    ) -> np.ndarray:
        """Class indices of three uint8 planes: uint8, or int32 where an index is larger.

        Raises:
            DataError: A colour outside the palette; names file and colour.
        """
        if self._table is None:
            self._table = self._filled()
        packed = red.astype(np.int32)
        for plane in (green, blue):
            packed <<= 8
            packed |= plane
        classes = np.take(self._table, packed)
        unknown = classes == _mark(self._table)
        if unknown.any():
            value = int(packed[unknown][0])
            colour = (value >> 16, (value >> 8) & 255, value & 255)
            raise DataError(f"{path} holds the colour {colour}, which is not in the palette")
        return classes

    def __getstate__(self) -> dict[str, object]:
        return {"colors": self.colors, "_table": None}
