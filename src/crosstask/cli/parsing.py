"""Recipe functions as command lines, through jsonargparse."""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from types import NoneType
from typing import Any, NoReturn, get_args

from jsonargparse import ActionConfigFile, ArgumentParser

from crosstask.recipes.catalogue import find_recipe
from crosstask.recipes.resolving import add_options
from crosstask.recipes.sentences import summary
from crosstask.suggest import nearest_option

_KINDS = {bool: "true or false", int: "a whole number", float: "a finite number"}
_BOOLEANS = ("true", "false", "yes", "no", "True", "False")


class OptionParser(ArgumentParser):
    """Python's `batch_size` is `--batch-size` here; `--x` alone is `--x true`, `--no-x` is false."""

    def format_usage(self, *args: Any, **kwargs: Any) -> str:
        text = super().format_usage(*args, **kwargs)
        return re.sub(r"--[a-z][a-z0-9_.]*", lambda m: m[0].replace("_", "-"), text)

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        text = super().format_help(*args, **kwargs)
        return re.sub(r"--[a-z][a-z0-9_.]*", lambda m: m[0].replace("_", "-"), text)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Names the option whose value is of another type, from a command line or a file.

        Raises:
            ValueError: such a value.
        """
        found = re.match(r'Parser key "(\w+)":.*(?:Given|Got) value: (.*)', message, re.DOTALL)
        expected = "" if found is None else _words(self._hints().get(found[1]))
        if found is not None and expected:
            name, value = found[1].replace("_", "-"), found[2].strip()
            raise ValueError(f"`--{name}` is {value}; expected {expected}")
        super().error(message, ex)

    def _hints(self) -> dict[str, Any]:
        """{option: its type}."""
        # Private to jsonargparse.
        return {action.dest: getattr(action, "_typehint", None) for action in self._actions}

    def read(self, argv: Sequence[str]) -> Any:
        """Parses, with the nearest names for an unknown option.

        Raises:
            ValueError: unknown option.
        """
        known = [o for action in self._actions for o in action.option_strings if o.startswith("--")]
        switches = {f"--{name}" for name, hint in self._hints().items() if hint is bool}
        parts = []
        for arg, following in zip_longest(argv, argv[1:], fillvalue=""):
            translated = self._translate(arg, known)
            if arg.startswith("--") and translated[0] in switches and following not in _BOOLEANS:
                translated = [translated[0] + "=true"]
            parts += translated
        return self.parse_args(parts)

    def _translate(self, arg: str, known: Sequence[str]) -> list[str]:
        if not arg.startswith("--"):
            return [arg]
        option, equals, value = arg.partition("=")
        name = option if option in known else option.replace("-", "_").replace("__", "--", 1)
        root = name.split(".")[0]
        if root in known:
            return [name + equals + value]
        positive = "--" + name.removeprefix("--no_")
        if name.startswith("--no_") and positive in known and not equals:
            return [positive + "=false"]
        shown = [o.replace("_", "-") for o in known if o != "--help"]
        raise ValueError(nearest_option(option, shown, self.prog))


def _words(hint: Any) -> str:
    """What values of a type are called, of numbers and truth values; empty for other types."""
    kinds = get_args(hint) or (hint,)
    words = "".join(word for kind, word in _KINDS.items() if kind in kinds)
    return f"{words}; leave it out for the default" if words and NoneType in kinds else words


def recipe_name(argv: Sequence[str], command: str) -> tuple[str, list[str]]:
    """Takes the recipe's name off the front."""
    if argv and argv[0] in ("-h", "--help"):
        print(
            f"usage: crosstask {command} RECIPE [options of the recipe]\n\n"
            f"`crosstask recipes` lists recipes; `crosstask {command} RECIPE --help` its options."
        )
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise ValueError(f"usage: crosstask {command} RECIPE [...]; `crosstask recipes` lists them")
    return argv[0], list(argv[1:])


def recipe_parser(name: str, command: str) -> tuple[Callable[..., Any], OptionParser, list[str]]:
    """(function, parser, names of its options) of a recipe."""
    function = find_recipe(name)
    parser = OptionParser(
        prog=f"crosstask {command} {name}", description=summary(function.__doc__) or name
    )
    parser.add_argument("--config", action=ActionConfigFile, help="read options from a YAML file")
    return function, parser, add_options(parser, function)
