"""Users' own files, each as one module of this package.

A module's name holds the path of its file, so that another process (a loader worker) that unpickles
something of it imports the same file, without being told beforehand.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


class _Source(importlib.abc.SourceLoader):
    """Reads a file once, and leaves no compiled copy beside it: a changed file is never an old one."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, path.read_bytes()

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.content


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `crosstask.plugins.own.STEM_HEX`, where HEX is the path of a file."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        head, _, tail = fullname.rpartition(".")
        if head != __name__:
            return None
        try:
            file = Path(bytes.fromhex(tail.rpartition("_")[2]).decode())
            source = _Source(file)
        except (ValueError, OSError):
            return None
        spec = importlib.machinery.ModuleSpec(fullname, source, origin=str(file))
        spec.has_location = True
        return spec


def module_name(file: Path) -> str:
    """The name of the one module of a file."""
    resolved = file.resolve()
    stem = "".join(c if c.isalnum() else "_" for c in resolved.stem)
    return f"{__name__}.{stem}_{str(resolved).encode().hex()}"


def path_of(module: str) -> Path | None:
    """The file behind a module's name; None for other modules."""
    head, _, tail = module.rpartition(".")
    return Path(bytes.fromhex(tail.rpartition("_")[2]).decode()) if head == __name__ else None


if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.append(_Finder())
