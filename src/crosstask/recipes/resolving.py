"""A recipe's name and some options -> its function and every option, checked, as plain values."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from crosstask.recipes.catalogue import find_recipe
from crosstask.suggest import nearest


def add_options(parser: ArgumentParser, function: Callable[..., Any]) -> list[str]:
    """Adds the options of a recipe to a parser; returns their names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(parser.add_function_arguments(function, fail_untyped=False, sub_configs=False))


def split_options(namespace: Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The recipe's own options out of a parsed namespace, as plain values."""
    values = namespace.as_dict()
    return {name: _plain(values[name]) for name in names if name in values}


def resolve(name: str, options: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """(function, every option) of a recipe, of which `options` gives some.

    Raises:
        ValueError: unknown recipe or option (the nearest are named), a value of a wrong type.
    """
    function = find_recipe(name)
    parser = ArgumentParser(prog=name, exit_on_error=False)
    names = add_options(parser, function)
    for option in options:
        if option not in names:
            raise ValueError(nearest(option, names, f"option of {name}"))
    given = {option: _plain(value) for option, value in options.items()}
    try:
        namespace = parser.parse_object(given)
    except Exception as error:  # the parser's own kinds, by its version
        raise ValueError(f"the options of {name} are wrong: {error}") from error
    return function, split_options(namespace, names)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
