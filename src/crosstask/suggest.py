"""One sentence for an unknown name: the nearest ones, then all."""

import difflib
from collections.abc import Sequence


def nearest(name: str, known: Sequence[str], what: str) -> str:
    """For example: unknown task 'dept'; did you mean depth? Known: segmentation, depth."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(known)}"
