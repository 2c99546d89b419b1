"""TorchJD itself: imported where a method needs it, in the one release that the adapters are written for."""

import importlib
from importlib import metadata
from typing import Any

from torch import nn

RELEASE = "0.18"


INSTALL = 'pip install "crosstask[balancing]"'


def torchjd_part(part: str) -> Any:
    """A module of TorchJD.

    Raises:
        ImportError: not installed, or another release than the one this adapter was written for.
    """
    try:
        version = metadata.version("torchjd")
    except metadata.PackageNotFoundError:
        raise ImportError(f"this balancing method needs TorchJD; install it: {INSTALL}") from None
    if not version.startswith(RELEASE + "."):
        raise ImportError(f"TorchJD is {version}; expected {RELEASE}.*; install it: {INSTALL}")
    return importlib.import_module(f"torchjd.{part}")


def has_history(method: nn.Module) -> bool:
    """Whether what a method gives depends on what it was given before."""
    return isinstance(method, importlib.import_module("torchjd").Stateful)
