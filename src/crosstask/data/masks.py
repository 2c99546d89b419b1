"""Label images as annotation tools write them: which rule turns a file's values into classes.

A folder's masks follow one rule, found once from its files (`find_rule`) and then held by every
file: class ids of 8 or 16 bits (also as a palette, or as three equal channels), the colours that
classes.txt gives, or 0 and 255 of two classes. A file that does not follow it is an error.
"""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from crosstask.data import labels
from crosstask.data.files import read_npy
from crosstask.data.sample import DataError
from crosstask.data.spacing import evenly
from crosstask.media.images import read_map, read_palette
from crosstask.media.label_range import void_label
from crosstask.media.reading import read_lines
from crosstask.tasks.classes import ClassTable

RULES = ("auto", "ids", "colors", "binary")
SUFFIXES = (".png", ".npy", ".tif", ".tiff", ".bmp", ".gif")
UNLABELLED_COLORS = ((0, 0, 0), (224, 224, 192))  # black, and PASCAL VOC's border, unless declared
IGNORED = "__ignore__"
_DEEP_VOID = 65535  # what 255 is in files of 16 bits
_LOOKED_AT = 12


@dataclass(frozen=True)
class MaskRule:
    """How stored values become classes.

    Args:
        kind: "ids", "colors" or "binary".
        table: the classes; their colours count for "colors" alone.
        void: stored id of unlabelled pixels; 65535 is void in deeper files as well.
    """

    kind: str
    table: ClassTable
    void: int = labels.VOID

    def __str__(self) -> str:
        if self.kind == "binary":
            first, second = self.table.names
            return f"binary masks: 0 is {first}, 255 (or the largest value) is {second}, no void"
        if self.kind == "colors":
            undeclared = [c for c in UNLABELLED_COLORS if c not in self.table.colors]
            void = " and ".join("/".join(map(str, color)) for color in undeclared)
            return "RGB colours of classes.txt" + (f"; {void} are void" if void else "")
        return f"class ids 0 to {len(self.table) - 1}; {self.void} is void"

    @property
    def result_void(self) -> int:
        """Void of what `read` returns."""
        return void_label(len(self.table))

    def read(self, path: Path) -> np.ndarray:
        """Class indices (H,W) of a file, void `result_void`; uint8, int32 of more than 254 classes.

        Raises:
            DataError: unreadable, or a value that the rule does not know.
        """
        stored = _stored(path, palette=self.kind == "colors")
        try:
            if self.kind == "colors":
                return self._from_colors(*stored.planes(path), path)
            ids = _one_channel(stored, path)
            return self._from_binary(ids, path) if self.kind == "binary" else self._ids(ids, path)
        except DataError as error:
            raise DataError(
                f"{error} (the masks of this folder are read as {self}; another reading is given "
                f"by the option `masks`: {', '.join(RULES[1:])})"
            ) from error

    @cached_property
    def _from_colors(self) -> labels.ColorLookup:
        undeclared = dict.fromkeys(UNLABELLED_COLORS, self.result_void)
        return labels.ColorLookup(undeclared | {c: i for i, c in enumerate(self.table.colors)})

    @cached_property
    def _table(self) -> np.ndarray:
        """Class index of every id of 16 bits."""
        known = [*range(len(self.table)), self.void, _DEEP_VOID]
        index = {i: i for i in range(len(self.table))}
        return labels.lookup(index, known, 1 << 16, self.result_void)

    def _ids(self, ids: np.ndarray, path: Path) -> np.ndarray:
        if ids.dtype == np.uint8:
            return labels.apply_lookup(ids, self._table[:256], path)
        if ids.min(initial=0) < -1:
            raise DataError(f"{path} holds the label value {ids.min()}; expected ids from 0")
        if ids.dtype.kind == "i":
            ids = np.where(ids == -1, _DEEP_VOID, ids.astype(np.int64))
        return labels.apply_lookup(ids, self._table, path)

    def _from_binary(self, ids: np.ndarray, path: Path) -> np.ndarray:
        top = _DEEP_VOID if ids.dtype != np.uint8 and ids.max(initial=0) > 255 else 255
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
        if len(planes) in (2, 4) and (planes[-1] < 255).any():
            raise DataError(f"{path} has transparent pixels; save it without transparency")
        return planes[0], planes[min(1, len(planes) // 3)], planes[len(planes) // 3 * 2]


def find_rule(
    paths: Sequence[Path], table: ClassTable, colored: bool, masks: str = "auto", void: int = 255
) -> MaskRule:
    """The rule of a folder's masks: the given one, or what its files show.

    Args:
        paths: all masks; some spread evenly are read, more while these leave it open.
        colored: whether the table's colours are declared (and not a palette of ours).
        masks: one of `RULES`.
        void: stored id of unlabelled pixels.

    Raises:
        DataError: colours without a table of them, or values that two rules could mean.
    """
    if masks not in RULES or isinstance(void, bool) or not isinstance(void, int):
        raise DataError(
            f"`masks` is {reprlib.repr(masks)}, `void` {void!r}; expected one of {', '.join(RULES)} and an id"
        )
    if not len(table) <= void <= _DEEP_VOID and masks != "colors":
        raise DataError(
            f"`void` is {void}; expected an id that is not a class: {len(table)} to {_DEEP_VOID}"
        )
    if masks == "binary" and len(table) != 2:
        raise DataError(f"`masks` is 'binary', but there are {len(table)} classes; expected 2")
    if masks == "colors" and not colored:
        raise _no_colors("`masks` is 'colors'")
    if masks != "auto":
        return MaskRule(masks, table, void)
    seen = _Seen(table, colored, void)
    first = evenly(len(paths), _LOOKED_AT)
    for index in [*first, *(i for i in range(len(paths)) if i not in first)]:
        if seen.files >= len(first) and not seen.open:
            break
        try:
            seen.add(paths[index], _stored(paths[index]))
        except DataError:
            continue  # a damaged file says nothing; reading it says what is wrong
    return MaskRule(seen.kind(), table, void)


class _Seen:
    """Values and colours of the masks that were looked at."""

    def __init__(self, table: ClassTable, colored: bool, void: int) -> None:
        self.table, self.declared, self.void = table, colored, void
        self.files, self.values, self.differ = 0, set[int](), False
        self.colors = set[tuple[int, ...]]()
        self.colorful: Path | None = None
        self.example = Path()

    def add(self, path: Path, stored: StoredMask) -> None:
        self.files, self.example = self.files + 1, path
        if stored.colored:
            self.colorful = path
            return
        values = [int(value) for value in np.unique(stored.values[0])]
        self.values.update(values)
        palette = stored.palette
        found = {
            v: (v, v, v) if palette is None else tuple(int(c) for c in palette[v]) for v in values
        }
        self.colors.update(found.values())
        if palette is not None or len(stored.values) >= 3:
            names = dict(enumerate(self.table.colors))
            self.differ |= any(names.get(v) != c for v, c in found.items() if v != self.void)

    @property
    def open(self) -> bool:
        """Whether two classes could still be 0/1 or 0/255."""
        return len(self.table) == 2 and self.colorful is None and len(self.values) < 2

    def kind(self) -> str:
        if self.colorful is not None:
            if not self.declared:
                raise _no_colors(f"{self.colorful} holds RGB colours")
            return "colors"
        table = set(self.table.colors)
        exact = self.declared and self.colors <= table
        colors = self.declared and bool(self.colors & table) and self.colors <= {*table, *UNLABELLED_COLORS}  # fmt: skip
        top = max(self.values, default=0)
        pair = len(self.table) == 2 and top in (255, _DEEP_VOID) and self.values <= {0, top}
        if pair and self.void == labels.VOID:
            return "colors" if exact and top == 255 else "binary"
        ids = self.values <= {*range(len(self.table)), self.void, _DEEP_VOID, -1}
        if colors and ids and self.differ:
            raise DataError(
                f"{self.example} and the other masks can be read as class ids and as the colours of "
                "classes.txt, and these differ; say which with the option `masks`: ids or colors"
            )
        return "colors" if colors and not ids else "ids"


@dataclass(frozen=True)
class DeclaredClasses:
    """A class table as somebody declared it.

    Attributes:
        colored: whether its colours are declared, and distinct (a palette of ours stands otherwise).
        ignored: whether the first line was labelme's `__ignore__`, which is not a class: its tools
            write these pixels as 255.
    """

    table: ClassTable
    colored: bool
    ignored: bool = False


def declared_classes(classes: int | ClassTable | None, path: Path) -> DeclaredClasses | None:
    """The class table; None where there is none.

    Args:
        classes: a table, a number of classes, or None for the file.
        path: a text file, one class a line: name, and red green blue where masks are colours.
    """
    if isinstance(classes, ClassTable):
        return DeclaredClasses(classes, True)
    if classes is not None:
        return DeclaredClasses(ClassTable.numbered(classes), False)
    if not path.is_file():
        return None
    names: list[str] = []
    colors: list[tuple[int, int, int]] = []
    ignored = False
    for line in read_lines(path):
        words = line.split()
        if words[0] == IGNORED and not names:
            ignored = True
            continue
        if len(words) >= 4 and all(_is_byte(word) for word in words[-3:]):
            colors.append((int(words[-3]), int(words[-2]), int(words[-1])))
            words = words[:-3]
        names.append(" ".join(words))
    if colors and len(colors) != len(names):
        raise DataError(
            f"{path} gives colours for {len(colors)} of {len(names)} classes; all or none"
        )
    if not names:
        raise DataError(f"{path} names no class; expected one a line: name [red green blue]")
    try:
        table = ClassTable(tuple(names), tuple(colors))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    distinct = bool(colors) and len(set(colors)) == len(colors)
    return DeclaredClasses(table, distinct, ignored)


def _is_byte(word: str) -> bool:
    return word.isdecimal() and len(word) <= 3 and int(word) < 256


def _no_colors(what: str) -> DataError:
    return DataError(
        f"{what}, but classes.txt gives no colours, one for each class; write `name red green blue` on each of its lines"
    )


def _stored(path: Path, palette: bool = True) -> StoredMask:
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        if array.ndim not in (2, 3):
            raise DataError(f"{path} has the shape {array.shape}; expected (H, W) or (H, W, 3)")
        values = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return StoredMask(values.astype(np.uint8) if values.dtype == bool else values)
    return StoredMask(read_map(path), read_palette(path) if palette else None)


def _one_channel(stored: StoredMask, path: Path) -> np.ndarray:
    if stored.colored or len(stored.values) == 2:
        raise DataError(f"{path} has {len(stored.values)} channels that differ; expected one id")
    if stored.values.dtype.kind not in "ui":
        raise DataError(f"{path} holds {stored.values.dtype}; expected integers, class ids")
    return stored.values[0]
