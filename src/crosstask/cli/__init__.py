"""The command line: `main`, and one file a command. Nothing here is imported by the library."""

from crosstask.cli.main import main

__all__ = ["main"]
