"""Class tables as declared: `classes.txt`, a number of classes, or a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crosstask.data.sample import DataError
from crosstask.media.reading import read_lines
from crosstask.tasks.classes import ClassTable

IGNORED = "__ignore__"


@dataclass(frozen=True)
class DeclaredClasses:
    """A class table as declared.

    Attributes:
        colored: whether its colours are declared, and distinct (a palette of ours stands otherwise).
        ignored: whether the first line was labelme's `__ignore__`, which is not a class: its tools
            write these pixels as 255.
    """

    table: ClassTable
    colored: bool
    ignored: bool = False


Classes = int | str | Sequence[str] | ClassTable


def declared_classes(classes: Classes | None, path: Path) -> DeclaredClasses | None:
    """The class table; None where there is none.

    Args:
        classes: a table, names ("floor,wall" too), a number of classes, the path of a file such as
            `path`, or None for that file.
        path: a text file, one class a line: name, and red green blue where masks are colours.
    """
    if isinstance(classes, ClassTable):
        return DeclaredClasses(classes, True)
    if isinstance(classes, str) and "," not in classes and Path(classes).is_file():
        path = Path(classes)
    elif classes is not None:
        return DeclaredClasses(_given(classes), False)
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


def _given(classes: int | str | Sequence[str]) -> ClassTable:
    if isinstance(classes, str):
        words = tuple(word.strip() for word in classes.split(","))
        classes = int(classes) if classes.isdecimal() else words
    if isinstance(classes, int):
        return ClassTable.numbered(classes)
    try:
        return ClassTable(tuple(classes))
    except ValueError as error:
        raise DataError(f"`classes` is {','.join(classes)}: {error}") from error


def _is_byte(word: str) -> bool:
    return word.isdecimal() and len(word) <= 3 and int(word) < 256
