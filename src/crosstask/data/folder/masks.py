"""Label images as annotation tools write them: which rule turns a file's values into classes.

A folder's masks follow one rule, found once from its files (`find_rule`) and then held by every
file: class ids of 8 or 16 bits (also as a palette, or as three equal channels) from 0 or from 1, the colours
that classes.txt gives, or 0 and 255 of two classes. A file that does not follow it is an error.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from crosstask.data import lookups
from crosstask.data.files import read_npy
from crosstask.data.folder.transparency import opaque
from crosstask.data.sample import DataError
from crosstask.media.images import read_map, read_palette
from crosstask.media.label_range import void_label
from crosstask.tasks.classes import ClassTable

RULES = ("auto", "ids", "ids_from_1", "colors", "binary")
SUFFIXES = (".png", ".npy", ".tif", ".tiff", ".bmp", ".gif")
UNLABELLED_COLORS = ((0, 0, 0), (224, 224, 192))  # black, and PASCAL VOC's border, unless declared
DEEP_VOID = 65535  # what 255 is in files of 16 bits


@dataclass(frozen=True)
class MaskRule:
    """How stored values become classes.

    Args:
        kind: "ids", "ids_from_1" (0 is void, 1 the first class), "colors" or "binary".
        table: the classes; their colours count for "colors" alone.
        void: stored id of unlabelled pixels; 65535 is void in deeper files as well.
    """

    kind: str
    table: ClassTable
    void: int = lookups.VOID

    def __str__(self) -> str:
        if self.kind == "binary":
            first, second = self.table.names
            return f"binary masks: 0 is {first}, 255 (or the largest value) is {second}, no void"
        if self.kind == "colors":
            undeclared = [c for c in UNLABELLED_COLORS if c not in self.table.colors]
            void = " and ".join("/".join(map(str, color)) for color in undeclared)
            return "RGB colours of classes.txt" + (f"; {void} are void" if void else "")
        last = self.first + len(self.table) - 1
        void = f"0 and {self.void} are" if self.first else f"{self.void} is"
        return f"class ids {self.first} to {last}; {void} void"

    @property
    def first(self) -> int:
        """Id of the first class."""
        return int(self.kind == "ids_from_1")

    @property
    def result_void(self) -> int:
        """Void of what `read` returns."""
        return void_label(len(self.table))

    def read(self, path: Path) -> np.ndarray:
        """Class indices (H,W) of a file, void `result_void`; uint8, int32 of more than 254 classes.

        Raises:
            DataError: unreadable, or a value that the rule does not know.
        """
        stored = read_stored(path, palette=self.kind == "colors")
        try:
            if self.kind == "colors":
                return self._from_colors(*stored.planes(path), path)
            ids = _one_channel(stored, path)
            return self._from_binary(ids, path) if self.kind == "binary" else self._ids(ids, path)
        except DataError as error:
            void = "if it marks unlabelled pixels, give it as the option `void`; if 0 does and classes are 1 to "
            void += f"{len(self.table)}, say `masks: ids_from_1`; "
            raise DataError(
                f"{error} (the masks of this folder are read as {self}; "
                f"{void if self.kind == 'ids' else ''}another reading is given "
                f"by the option `masks`: {', '.join(RULES[1:])})"
            ) from error

    @cached_property
    def _from_colors(self) -> lookups.ColorLookup:
        undeclared = dict.fromkeys(UNLABELLED_COLORS, self.result_void)
        return lookups.ColorLookup(undeclared | {c: i for i, c in enumerate(self.table.colors)})

    @cached_property
    def _table(self) -> np.ndarray:
        """Class index of every id of 16 bits."""
        index = {i + self.first: i for i in range(len(self.table))}
        known = [0, *index, self.void, DEEP_VOID]
        return lookups.lookup(index, known, 1 << 16, self.result_void)

    def _ids(self, ids: np.ndarray, path: Path) -> np.ndarray:
        if ids.dtype == np.uint8:
            return lookups.apply_lookup(ids, self._table[:256], path)
        if ids.min(initial=0) < -1:
            raise DataError(f"{path} holds the label value {ids.min()}; expected ids from 0")
        if ids.dtype.kind == "i":
            ids = np.where(ids == -1, DEEP_VOID, ids.astype(np.int64))
        return lookups.apply_lookup(ids, self._table, path)

    def _from_binary(self, ids: np.ndarray, path: Path) -> np.ndarray:
        top = DEEP_VOID if ids.dtype != np.uint8 and ids.max(initial=0) > 255 else 255
        wrong = ids[(ids != 0) & (ids != top)]
        if wrong.size:
            raise DataError(f"{path} holds the label value {wrong[0]} beside 0 and {top}")
        return (ids != 0).astype(np.uint8)


@dataclass(frozen=True)
class StoredMask:
    """A file's values (C,H,W) and, where they index one, its colour table (n,3)."""

    values: np.ndarray
    palette: np.ndarray | None = None

    @property
    def colored(self) -> bool:
        """Whether its channels differ somewhere: not one value a pixel."""
        planes = self.values[:3]
        return len(planes) == 3 and bool((planes != planes[:1]).any())

    def planes(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Red, green and blue, (H,W) uint8 each."""
        planes = self.values
        if self.palette is not None:
            planes = self.palette[self.values[0]].transpose(2, 0, 1)
        if planes.dtype != np.uint8:
            raise DataError(f"{path} holds {planes.dtype}; expected colours of 8 bits a channel")
        return planes[0], planes[min(1, len(planes) // 3)], planes[len(planes) // 3 * 2]


def read_stored(path: Path, palette: bool = True) -> StoredMask:
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        if array.ndim not in (2, 3):
            raise DataError(f"{path} has the shape {array.shape}; expected (H, W) or (H, W, 3)")
        values = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return StoredMask(values.astype(np.uint8) if values.dtype == bool else values)
    return StoredMask(opaque(read_map(path), path), read_palette(path) if palette else None)


def _one_channel(stored: StoredMask, path: Path) -> np.ndarray:
    if stored.colored or len(stored.values) == 2:
        raise DataError(f"{path} has {len(stored.values)} channels that differ; expected one id")
    if stored.values.dtype.kind not in "ui":
        raise DataError(f"{path} holds {stored.values.dtype}; expected integers, class ids")
    return stored.values[0]
