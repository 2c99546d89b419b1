"""The options of every recipe, with their defaults, against a stored list.

Command lines, config.yaml of finished runs and running studies depend on these names and values. A
change on purpose: `python tests/recipes/test_flags.py` writes the list anew; look at the difference.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from crosstask.cli.parsing import recipe_parser
from crosstask.recipes.catalogue import RECIPES
from crosstask.recipes.resolving import split_options

STORED = Path(__file__).with_name("flags.json")


def flags(recipe: str) -> dict[str, Any]:
    _, parser, names = recipe_parser(recipe, "train")
    return dict(sorted(split_options(parser.get_defaults(), names).items()))


@pytest.mark.parametrize("recipe", RECIPES)
def test_flags_and_defaults_are_the_stored_ones(recipe: str) -> None:
    assert flags(recipe) == json.loads(STORED.read_text())[recipe]


if __name__ == "__main__":
    STORED.write_text(json.dumps({name: flags(name) for name in RECIPES}, indent=1) + "\n")
