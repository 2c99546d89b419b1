"""Recipe functions as command lines, through jsonargparse."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from crosstask.recipes.catalogue import find_recipe


def recipe_name(argv: Sequence[str], command: str) -> tuple[str, list[str]]:
    """Takes the recipe's name off the front."""
    if not argv or argv[0].startswith("-"):
        raise ValueError(f"usage: crosstask {command} RECIPE [...]; `crosstask recipes` lists them")
    return argv[0], list(argv[1:])


def recipe_parser(name: str, command: str) -> tuple[Callable[..., Any], ArgumentParser, list[str]]:
    """(function, parser, names of its options) of a recipe."""
    function = find_recipe(name)
    description = (function.__doc__ or name).strip().split("Args:")[0].strip()
    parser = ArgumentParser(prog=f"crosstask {command} {name}", description=description)
    parser.add_argument("--config", action=ActionConfigFile, help="read options from a YAML file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        added = parser.add_function_arguments(function, fail_untyped=False, sub_configs=False)
    return function, parser, list(added)


def split_options(namespace: Any, names: Sequence[str]) -> dict[str, Any]:
    """The recipe's own options out of a parsed namespace, as plain values."""
    plain = namespace.as_dict()
    return {name: plain[name] for name in names if name in plain}
