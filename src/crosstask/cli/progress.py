"""A progress bar on standard error, where a person sits before it."""

import sys
from collections.abc import Iterable
from typing import Any


def progress(items: Iterable[Any], total: int, title: str, quiet: bool) -> Iterable[Any]:
    """The items, counted on a bar unless `quiet` or where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    silent = quiet or not sys.stderr.isatty()
    return track(items, description=title, total=total, console=console, disable=silent)
