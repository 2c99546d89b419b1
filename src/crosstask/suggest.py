"""One sentence for an unknown name: the nearest ones, then all, or how to see all."""

import difflib
from collections.abc import Sequence


class UnknownNameError(ValueError):
    """A name that is none of the known ones.

    Attributes:
        kind: what it should have named: task, architecture ...
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def nearest(name: str, known: Sequence[str], what: str) -> str:
    """For example: unknown task 'dept'; did you mean depth? Known: segmentation, depth."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(known)}"


def nearest_option(name: str, known: Sequence[str], command: str) -> str:
    """For an option of a command: its three nearest, and how to see all, of which there may be 60."""
    plain = {option.lstrip("-"): option for option in known}
    close = difflib.get_close_matches(name.lstrip("-"), list(plain), n=3, cutoff=0.0)
    hint = " or ".join(plain[option] for option in close)
    return f"unknown option {name!r}; did you mean {hint}? `{command} --help` lists all"
