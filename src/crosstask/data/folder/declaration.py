"""`folder.yaml`: how the values of a folder of one's own are stored, said once, beside the files."""

import reprlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crosstask.data.sample import DataError
from crosstask.media.reading import MOST_YAML, check_file, read_text
from crosstask.suggest import nearest

NAME = "folder.yaml"


def declared_options(
    root: Path, usual: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Every option: as given, else as `folder.yaml` says, else as usual.

    Args:
        root: of the dataset.
        usual: values of options that are not given; their types are those expected.
        given: values of the caller, None where there is none.

    Raises:
        DataError: the file holds a name or a type that is not expected.
    """
    written = written_options(root)
    for name, value in written.items():
        if name not in usual:
            raise DataError(f"{root / NAME}: {nearest(str(name), list(usual), 'option')}")
        if not _fits(value, usual[name]):
            raise DataError(
                f"{root / NAME}: `{name}` is {reprlib.repr(value)}; expected a value like {usual[name]!r}"
            )
    for name, value in given.items():
        if (
            value is not None
            and isinstance(usual[name], int | float)
            and not _fits(value, usual[name])
        ):
            raise DataError(
                f"{root}: `{name}` is {reprlib.repr(value)}; expected a value like {usual[name]!r}"
            )
    chosen = dict(usual) | {k: _like(v, usual[k]) for k, v in written.items()}
    options = {name: value for name, value in given.items() if value is not None}
    for name in written.keys() & options.keys():
        if options[name] != chosen[name]:
            warnings.warn(
                f"{root / NAME} says `{name}: {chosen[name]}`, and the option {options[name]!r} counts before it; "
                "leave the option out to read the folder as it says",
                stacklevel=2,
            )
    return chosen | options


def written_options(root: Path) -> Mapping[str, Any]:
    """What `folder.yaml` says; empty without one."""
    path = root / NAME
    if not path.is_file():
        return {}
    import yaml

    check_file(path, MOST_YAML)
    text = read_text(path)
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # the last of a date or number
        first = str(error).split("\n")[0]
        raise DataError(f"{path} is not a sound YAML file ({first})") from error
    if found is not None and not isinstance(found, dict):
        raise DataError(f"{path} holds no names with values; expected lines such as `void: 11`")
    return found or {}


def _fits(value: Any, usual: Any) -> bool:
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(usual, bool)
    if isinstance(usual, float):
        return isinstance(value, int | float) and abs(value) < 1e18
    return isinstance(value, type(usual))


def _like(value: Any, usual: Any) -> Any:
    return float(value) if isinstance(usual, float) else value
