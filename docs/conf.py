"""Sphinx configuration: `make docs` builds with warnings as errors."""

from importlib.metadata import version as installed

project = "crosstask"
author = "The crosstask authors"
copyright = "2026, the crosstask authors"
release = installed("crosstask")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

html_theme = "furo"
html_title = "crosstask"
html_theme_options = {"sidebar_hide_name": False}


def write_command_line(app: object) -> None:
    """The command line reference, made from the parsers themselves."""
    from pathlib import Path

    from crosstask.cli.main import usage
    from crosstask.cli.parsing import recipe_parser
    from crosstask.recipes.catalogue import RECIPES

    lines = ["# Command line", "", "```text", usage(), "```", "", "## Recipes", ""]
    for name, text in RECIPES.items():
        help_text = recipe_parser(name, "train")[1].format_help()
        lines += [f"### {name}", "", f"{text[0].upper()}{text[1:]}.", "", "```text", help_text.rstrip(), "```", ""]
    Path(__file__).with_name("command_line.md").write_text("\n".join(lines))


def setup(app: object) -> None:
    app.connect("builder-inited", write_command_line)  # type: ignore[attr-defined]
