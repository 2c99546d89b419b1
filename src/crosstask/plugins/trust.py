"""The rule about other people's files: what a run or a model names runs only if the user says so.

Everything that opens a run directory or a model passes what it read there, config.yaml or
model.json, through `trusted` before anything of it is looked up. No other function decides.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crosstask.plugins.files import OwnFileError, Reference, digest, parse

# True: every file that is named. Paths: these files, also where another place is named for them;
# with True among them, all others too.
Trust = bool | str | Path | Sequence[bool | str | Path]


class TrustError(OwnFileError):
    """A file that the user did not name would have to run; names it and says how to allow that."""


def trusted(
    content: Any,
    place: Path | str,
    trust: Trust = False,
    made_with: Mapping[str, str] | None = None,
) -> Any:
    """What was read from a run or a model, once the files it names may run.

    Nothing is run here. A file that `trust` names takes the place of the recorded one, by its
    path or, where that is another one, by its file name.

    Args:
        content: as read from JSON or YAML.
        place: where it was read, for messages.
        trust: see `Trust`.
        made_with: {path: SHA-256} of the files at the time; one that has changed is told.

    Returns:
        `content` with the whole path of every file.

    Raises:
        TrustError: a file that is not trusted, or not there.
    """
    given = [trust] if isinstance(trust, bool | str | Path) else list(trust)
    files = _paths([file for file in given if not isinstance(file, bool)])
    allowed: dict[Path, Path] = {}
    refused: dict[Path, dict[str, None]] = {}
    for reference in references(content):
        file = reference.file
        own = [f for f in files if f.resolve() == file.resolve()]
        own += [f for f in files if f.name == file.name]
        if own or True in given:
            allowed[file] = (own or [file])[0].resolve()
        else:
            refused.setdefault(file.resolve(), {})[reference.name] = None
    if refused:
        told = ", ".join(f"{file} (for {', '.join(names)})" for file, names in refused.items())
        raise TrustError(
            f"{place} needs code that is not part of crosstask: {told}. It does not run "
            "unless you say so: read it, then pass `--trust`, or `--trust-file FILE` to use your "
            "own copy (in Python `trust=True` or `trust=FILE`)"
        )
    for named, file in allowed.items():
        _check(named, file, place, made_with or {})
    return _replaced(content, lambda r: replace(r, file=allowed[r.file]))


def whole_paths(content: Any) -> Any:
    """The same with the whole path of every file that is named."""
    return _replaced(content, lambda r: replace(r, file=r.file.resolve()))


def references(content: Any) -> list[Reference]:
    """Every `FILE.py:NAME` in text, lists and mappings, keys too, in order."""
    found: list[Reference] = []

    def note(reference: Reference) -> Reference:
        found.append(reference)
        return reference

    _replaced(content, note)
    return found


def digests(content: Any) -> dict[str, str]:
    """{whole path: SHA-256} of every file that is named, for model.json."""
    files = dict.fromkeys(r.file.resolve() for r in references(content))
    return {str(file): digest(file) for file in files}


def named_in(arguments: Iterable[str]) -> list[Path]:
    """Files of one's own that a command line names."""
    found = [re.findall(r"[^\s,'\"={}\[\]]+\.py(?=:)", argument) for argument in arguments]
    return [Path(file).expanduser() for files in found for file in files]


def _paths(given: Sequence[str | Path]) -> list[Path]:
    files = [Path(file).expanduser() for file in given]
    if missing := [file for file in files if not file.is_file()]:
        raise OwnFileError(f"`trust` names {missing[0]}; expected a Python file that is there")
    return files


def _check(named: Path, file: Path, place: Path | str, made_with: Mapping[str, str]) -> None:
    if not file.is_file():
        raise TrustError(
            f"{place} needs {file}, which is not there any more; give its place now with "
            "`--trust-file FILE` (in Python `trust=FILE`)"
        )
    before = made_with.get(str(named.resolve()))
    if before is not None and before != digest(file):
        warnings.warn(
            f"{file} has changed since {place} was made with it: the weights may not fit it, or "
            "mean something else",
            stacklevel=3,
        )


def _replaced(content: Any, change: Callable[[Reference], Reference]) -> Any:
    if isinstance(content, str):
        parts = content.split(",")
        known = [parse(part) for part in parts]
        if not any(known):
            return content
        return ",".join(str(change(r)) if r else p for r, p in zip(known, parts, strict=True))
    if isinstance(content, Mapping):
        return {_replaced(k, change): _replaced(v, change) for k, v in content.items()}
    if isinstance(content, list | tuple | set | frozenset):  # YAML has sets
        return [_replaced(value, change) for value in content]
    return content
