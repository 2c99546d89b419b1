"""Opening a data set of the library `datasets`: saved, as files of it, or by its name on the hub."""

import re
from pathlib import Path
from typing import Any

from crosstask.data.sample import DataError, WrongRoot

_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?")
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` writes
_FILES = {".parquet": "parquet", ".arrow": "arrow"}


def library() -> Any:
    """The library.

    Raises:
        DataError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            'data sets of the hub need a further package: pip install "crosstask[hub]"'
        ) from error
    return datasets


def open_set(root: Path, expected: str, configuration: str | None = None) -> dict[str, Any]:
    """The splits of a set, by its own names for them; "" where it has none.

    Args:
        root: a folder of `save_to_disk`, a parquet or arrow file, a folder that `load_dataset` reads, or,
            where there is no such path, `owner/name` or `owner/name@revision` of the hub.
        expected: what `root` should be, for messages.
        configuration: of a set that has several.

    Raises:
        DataError: no such library, no such set, or one that cannot be read or fetched.
    """
    datasets, name = library(), _NAME.fullmatch(root.as_posix())
    if not root.exists() and name is None:
        raise WrongRoot(f"`root` is {root}, which does not exist; {expected}")
    try:
        if any((root / file).is_file() for file in _SAVED):
            found = datasets.load_from_disk(str(root))
        elif root.is_file():
            kind = _FILES.get(root.suffix.lower())
            if kind is None:
                raise WrongRoot(f"`root` is the file {root}; {expected}")
            found = datasets.load_dataset(kind, data_files=str(root))
        elif root.exists():
            found = datasets.load_dataset(str(root), configuration)
        else:
            assert name is not None
            found = datasets.load_dataset(name[1], configuration, revision=name[2])
    except DataError:
        raise
    except Exception as error:  # of the library, its file formats and the network, by version
        raise WrongRoot(_cannot_open(root, expected, error)) from error
    return dict(found) if isinstance(found, dict) else {"": found}


def _cannot_open(root: Path, expected: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    if root.exists():
        return f"`root` is {root}, which has no set that `datasets` can open ({said}); {expected}"
    return (
        f"`root` is {root.as_posix()}: there is no such folder here, and the data set cannot be fetched "
        f"from the hub ({said}); check the name and the network, or give a folder that `save_to_disk` wrote"
    )
