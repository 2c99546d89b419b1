"""A recipe's name and some options -> its function and every option, checked, as plain values."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from crosstask.recipes.catalogue import find_recipe
from crosstask.recipes.recipe import parts_of
from crosstask.recipes.sentences import summary
from crosstask.suggest import nearest


def add_options(parser: ArgumentParser, function: Callable[..., Any]) -> list[str]:
    """Adds the options of a recipe to a parser, in groups; returns their names."""
    recipe, names = parts_of(function), []
    if recipe.passes_on:  # an own file's `**options`: its source says where they go
        known: set[str | int] = {*recipe.settings, *(o.name for o in recipe.options)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names += parser.add_function_arguments(
                recipe.function, fail_untyped=False, sub_configs=False, skip=known
            )
    groups: dict[Any, Any] = {}
    for option in recipe.options:
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(_title(option.group))
        required = option.default is inspect.Parameter.empty
        groups[option.group].add_argument(
            f"--{option.name}",
            type=option.type,
            help=option.sentence,
            **({"required": True} if required else {"default": option.default}),
        )
        names.append(option.name)
    return names


def _title(group: type | None) -> str:
    if group is None:
        return "options of the recipe"
    return f"{summary(group.__doc__).rstrip('.')} ({group.__name__})"


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
