"""`FILE.py:NAME`: one function runs a user's own file, for whatever the name stands for."""

import hashlib
import importlib
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from crosstask.plugins.own import module_name, path_of
from crosstask.suggest import nearest

# Commas separate names, colons what is in one, so neither is part of a path (`C:\\` apart).
_REFERENCE = re.compile(
    r"(?P<file>(?:[A-Za-z]:[\\/])?[^,:]+\.py):(?P<name>[A-Za-z_]\w*)(?P<rest>:.*)?", re.DOTALL
)
UNSAVED = "<no file>"


class OwnFileError(ValueError):
    """A file of the user's own cannot be used as asked; says why and what to do."""


@dataclass(frozen=True)
class Reference:
    """`FILE.py:NAME`, with what follows a further colon.

    Attributes:
        file: as given; relative to the working directory.
        name: of something in the file.
        rest: options behind a second colon, without it (`mine.py:Geometric:floor=0.1`).
    """

    file: Path
    name: str
    rest: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" + (f":{self.rest}" if self.rest else "")


def parse(text: object) -> Reference | None:
    """The reference that a text is; None for anything else. Nothing else is ever taken for one."""
    match = _REFERENCE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    file = Path(match["file"]).expanduser()
    return Reference(file, match["name"], (match["rest"] or "")[1:])


def load_module(file: Path) -> ModuleType:
    """The module of a file: run once in a process, in `sys.modules` before it runs.

    Raises:
        OwnFileError: no such file, or an error inside it, with its line.
    """
    if not file.is_file():
        raise OwnFileError(
            f"there is no file {file}; a part of your own is path/to/file.py:name, and the path is "
            f"taken from {Path.cwd()}"
        )
    try:
        return importlib.import_module(module_name(file))
    except (Exception, SystemExit) as error:
        raise OwnFileError(f"{_where(file, error)}: {_what(error)}") from error


def load(reference: Reference, what: str) -> Any:
    """What a reference names.

    Args:
        what: the word for it in errors, for example "recipe".

    Raises:
        OwnFileError: no such file or name (the nearest are named), or an error inside the file.
    """
    module = load_module(reference.file)
    if not hasattr(module, reference.name):  # what the user's file defines
        own = [n for n, v in vars(module).items() if _defined_in(v, module)]
        raise OwnFileError(nearest(reference.name, own, f"{what} in {reference.file}"))
    return getattr(module, reference.name)  # as above


def digest(file: Path) -> str:
    """SHA-256 of a file, as it was when it ran in this process."""
    module = sys.modules.get(module_name(file))
    loader: Any = getattr(module, "__loader__", None)  # `module` may be None
    content = file.read_bytes() if loader is None else loader.content
    return hashlib.sha256(content).hexdigest()


def reference_of(thing: Any) -> str | None:
    """`FILE.py:NAME` (the whole path) of a class or function, or of an object's class.

    None for what comes with an installed package; `<no file>:NAME` for what was defined where no
    file can be run again (a prompt, a notebook), or inside a function.
    """
    kind = thing if hasattr(thing, "__qualname__") else type(thing)  # functions and classes
    module, name = kind.__module__, kind.__qualname__
    own = path_of(module)
    if own is None and module.partition(".")[0] == "crosstask":
        return None
    # A module typed at a prompt has no file.
    file = own or getattr(sys.modules.get(module), "__file__", None)
    if file is None or not name.isidentifier() or not str(file).endswith(".py"):
        return f"{UNSAVED}:{name}"
    return f"{Path(file).resolve()}:{name}"


def _defined_in(value: Any, module: ModuleType) -> bool:
    """Leaves out what the file only imports."""
    return getattr(value, "__module__", None) == module.__name__  # constants have none


def _where(file: Path, error: BaseException) -> str:
    """The file, and the line of it where an error was raised or passed last."""
    if isinstance(error, SyntaxError) and error.filename == str(file.resolve()):
        return f"{file}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if f.filename == str(file.resolve())]
    return f"{file}, line {lines[-1]}" if lines else str(file)


def _what(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    if isinstance(error, SystemExit):
        return "it ends the program; put what only a script does below `if __name__ == '__main__':`"
    return f"{type(error).__name__}: {error}"
