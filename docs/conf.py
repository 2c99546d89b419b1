"""Sphinx configuration: `make docs` builds with warnings as errors."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

project = "crosstask"
author = "The crosstask authors"
copyright = "2026, the crosstask authors"
release = installed("crosstask")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "dollarmath"]

smartquotes = False  # options begin with two dashes

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "crosstask"
html_theme_options = {"sidebar_hide_name": False}


def write_command_line(app: object) -> None:
    """The command line reference, made from the parsers themselves."""
    import reference

    reference.write(Path(__file__).with_name("commands"))


def setup(app: object) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    app.connect("builder-inited", write_command_line)  # type: ignore[attr-defined]
