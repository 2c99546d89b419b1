"""Plots of matplotlib as files."""

import io
from pathlib import Path
from typing import Any

from crosstask.media.files import write_bytes

ENDINGS = (".png", ".svg", ".pdf")


def check_ending(path: Path) -> None:
    """To be asked before hours of measuring.

    Raises:
        ValueError: a figure cannot be written under that name.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"`plot` is {path}; expected a name that ends in {', '.join(ENDINGS)}")


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure in the format of the file's ending, whole or not at all."""
    check_ending(path)
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix[1:], dpi=150)
    write_bytes(path, data.getvalue())
