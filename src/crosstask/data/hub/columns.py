"""Which column of a data set holds what: as it is said, or by the names that such columns have."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crosstask.data.channels import ENDING
from crosstask.data.folder.classes import Classes
from crosstask.data.folder.unread import OTHER_NAMES
from crosstask.data.hub.cells import IMAGE, Storage, storage_of
from crosstask.data.sample import DataError
from crosstask.suggest import nearest

Columns = str | Mapping[str, str]


def choose_columns(
    given: Columns | None, features: Mapping[str, Any], kinds: Sequence[str]
) -> dict[str, str]:
    """{kind: its column}; without an image it is no set of images.

    Args:
        given: "image=photo,segmentation=mask" or a mapping: these count alone, the image's apart, which is
            looked for where it is not among them. None: all are found by their names.
        features: of the set.
        kinds: what a column may be, beside inputs of their own (`NAME_input`).

    Raises:
        DataError: a column that the set lacks, or that does not fit its kind; several or none for the image.
    """
    asked = _parsed(given)
    kinds = (*kinds, *(kind for kind in asked if kind.endswith(ENDING)))
    for kind, column in asked.items():
        if kind not in kinds:
            raise DataError(f"`columns` has {kind}={column}; {nearest(kind, list(kinds), 'kind')}")
        storage = storage_of(features[column]) if column in features else None
        if column not in features:
            raise DataError(f"`columns` has {kind}={column}, which the set lacks; {told(features)}")
        if storage is None or not storage.fits(kind):
            raise DataError(
                f"`columns` has {kind}={column}, which cannot be read as {kind}; expected images, or arrays of "
                f"numbers ({'bytes' if kind == IMAGE else 'height x width'}); {told(features)}"
            )
    found = {
        k: _guessed(k, features) for k in kinds if k not in asked and (not asked or k == IMAGE)
    }
    chosen = asked | {kind: column for kind, column in found.items() if column}
    if IMAGE not in chosen:
        raise DataError(
            f"no column is called image, or as images usually are; say which, `columns` image=NAME; "
            f"{told(features)}"
        )
    return {kind: chosen[kind] for kind in kinds if kind in chosen}


def _parsed(given: Columns | None) -> dict[str, str]:
    if not isinstance(given, str):
        return dict(given or {})
    pairs = [part.partition("=") for part in given.split(",") if part.strip()]
    wrong = [name for name, equals, column in pairs if not (equals and column.strip())]
    if wrong:
        raise DataError(
            f"`columns` is {given!r}, of which {wrong[0]!r} names no column; expected such as "
            "image=photo,segmentation=mask"
        )
    return {name.strip(): column.strip() for name, _, column in pairs}


def _guessed(kind: str, features: Mapping[str, Any]) -> str | None:
    """The column of the kind's own name, or the one that has another usual name of it."""
    fitting = [c for c, f in features.items() if (s := storage_of(f)) is not None and s.fits(kind)]
    if kind in fitting:
        return kind
    named = [column for column in fitting if _is_called(column, kind)]
    if len(named) > 1:
        raise DataError(
            f"{' and '.join(named)} could each be {kind}; say which, `columns` {kind}={named[0]} (and name "
            f"the other columns that are wanted); {told(features)}"
        )
    return named[0] if named else None


def _is_called(column: str, kind: str) -> bool:
    plain = re.sub(r"[^a-z]", "", column.lower())
    for name, others in OTHER_NAMES.items():
        own = name.removesuffix(".txt")
        if kind in (own, own.removesuffix("s")) and plain in (kind, own, *others):
            return True
    return False


def told(features: Mapping[str, Any]) -> str:
    """The columns of a set with their types."""
    return f"its columns: {', '.join(f'{name} ({_type(f)})' for name, f in features.items())}"


def _type(feature: Any) -> str:
    storage: Storage | None = storage_of(feature)
    if storage is not None:
        return str(storage)
    found = re.search(r"dtype='?(\w+)|Value\('(\w+)'\)", str(feature))
    return (found[1] or found[2]) if found else type(feature).__name__


def class_names(
    classes: Classes | None, features: Mapping[str, Any], column: str | None
) -> Classes | None:
    """The classes as given; those of a column where one is named, or else of the masks' own.

    Args:
        column: of the masks.
    """
    if classes is None and column is not None:
        storage = storage_of(features[column])
        return storage.names or None if storage else None
    if not isinstance(classes, str) or classes not in features:
        return classes
    storage = storage_of(features[classes])
    if storage is None or not storage.names:
        raise DataError(
            f"`classes` is the column {classes}, which has no class names; {told(features)}"
        )
    return storage.names
