"""Which rule the masks of a folder follow, found from some of its files."""

import reprlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crosstask.data import lookups
from crosstask.data.folder.classes import DeclaredClasses
from crosstask.data.folder.masks import (
    DEEP_VOID,
    RULES,
    UNLABELLED_COLORS,
    MaskRule,
    StoredMask,
    read_stored,
)
from crosstask.data.folder.tree import FolderTree
from crosstask.data.sample import DataError
from crosstask.data.spacing import evenly
from crosstask.media.label_range import void_label
from crosstask.tasks.classes import ClassTable

_LOOKED_AT = 12


def folder_rule(
    tree: FolderTree, declared: DeclaredClasses | None, masks: str, void: int
) -> MaskRule:
    """The rule of all masks of a dataset, see `find_rule`.

    Raises:
        DataError: no classes, one class alone, or masks that fit no rule.
    """
    if declared is None:
        raise DataError(f"segmentation needs the names of the classes: {tree.naming_classes}")
    table = declared.table
    if len(table) == 1:
        raise DataError(
            f"{tree.root} has one class, {table.names[0]!r}; expected two or more "
            f"({tree.naming_classes}): a network of one "
            "class is right everywhere. Give the rest a class of its own (`background` first, "
            f"then `{table.names[0]}`; masks of 0 and 255 are read as these two), or make the masks "
            f"those of saliency"
        )
    void = void if void != lookups.VOID else void_label(len(table))  # 255 may be a class
    try:
        return find_rule(tree.masks(), table, declared.colored, masks, void)
    except DataError as error:
        if str(tree.root) in str(error):
            raise
        raise DataError(f"{tree.place('segmentation')}: {error}") from error


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
    least = len(table) + (masks == "ids_from_1")
    if not least <= void <= DEEP_VOID and masks != "colors":
        zero = (
            f"; where 0 is unlabelled and the classes are 1 to {len(table)}, leave it out and say `masks: ids_from_1`"
            if void == 0
            else ""
        )
        raise DataError(
            f"`void` is {void}; expected an id that is not a class: {least} to {DEEP_VOID}{zero}"
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
            seen.add(paths[index], read_stored(paths[index]))
        except DataError:
            continue  # a damaged file says nothing; reading it says what is wrong
    return MaskRule(seen.kind(), table, void)


class _Seen:
    """Values and colours of the masks that were looked at."""

    def __init__(self, table: ClassTable, colored: bool, void: int) -> None:
        self.table, self.declared, self.void = table, colored, void
        self.files, self.values, self.differ = 0, set[int](), False
        self.colors = set[tuple[int, ...]]()
        self.entries = dict[int, tuple[int, ...]]()
        self.repainted: tuple[Path, int] | None = None
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
        if palette is not None:
            changed = [v for v, c in found.items() if self.entries.setdefault(v, c) != c]
            if changed and self.repainted is None:
                self.repainted = (path, changed[0])
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
        pair = len(self.table) == 2 and top in (255, DEEP_VOID) and self.values <= {0, top}
        if pair and self.void == lookups.VOID:
            return "colors" if exact and top == 255 else "binary"
        ids = self.values <= {*range(len(self.table)), self.void, DEEP_VOID, -1}
        if colors and ids and self.differ:
            raise DataError(
                f"{self.example} and the other masks can be read as class ids and as the colours of "
                "classes.txt, and these differ; say which with the option `masks`: ids or colors"
            )
        if colors and not ids:
            return "colors"
        if self.repainted is not None:
            path, index = self.repainted
            raise DataError(
                f"{path} gives the index {index} another colour than masks before it: where a palette is "
                "made for each file, an index is no class id. Give the classes' colours in classes.txt "
                "(`name red green blue`), or say with the option `masks: ids` that they are ids"
            )
        return "ids"


def _no_colors(what: str) -> DataError:
    return DataError(
        f"{what}, but classes.txt gives no colours, one for each class; write `name red green blue` on each of its lines"
    )
