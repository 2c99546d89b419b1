"""Pages of the command line, made from the parsers themselves: one a command, one of the recipes' options."""

import argparse
import inspect
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from crosstask.cli.arguments import CommandParser
from crosstask.cli.main import COMMANDS, main, usage
from crosstask.cli.parsing import OptionParser
from crosstask.recipes.catalogue import RECIPES, find_recipe
from crosstask.recipes.recipe import Option, parts_of
from crosstask.recipes.resolving import _title as group_title
from crosstask.recipes.sentences import summary

# What makes a command that asks for a name first show all of its options.
NAMED = {"train": "procedural.supervised", "info": "procedural.supervised", "study": "exchange"}
SHARED = 3  # recipes; an option of fewer is told with each of them
USAGE_WIDTH = "76"


class _Captured(Exception):
    """Carries the parser whose help was asked for."""


def write(folder: Path) -> None:
    """Writes the pages that changed."""
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        file = folder / f"{name}.md"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def pages() -> dict[str, str]:
    """{name of the page: its Markdown}."""
    with mock.patch.dict(os.environ, {"COLUMNS": USAGE_WIDTH}):
        found = {command: _command(command, text) for command, (_, text) in COMMANDS.items()}
        return {"index": _index(), **found, "recipe_options": _recipes()}


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command, taken as it is about to print its help."""

    def capture(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _Captured(parser)

    words = [command, *([NAMED[command]] if command in NAMED else []), "--help"]
    with (
        mock.patch.object(CommandParser, "print_help", capture),
        mock.patch.object(OptionParser, "print_help", capture),
    ):
        try:
            main(words)
        except _Captured as found:
            parser: argparse.ArgumentParser = found.args[0]
            return parser
    raise RuntimeError(f"`crosstask {' '.join(words)}` shows no help of a parser")


def _index() -> str:
    lines = "\n".join(
        f"| [{name}]({name}.md) | {_plain(text)} |" for name, (_, text) in COMMANDS.items()
    )
    codes = usage().partition("Exit codes: ")[2].replace("\n", " ")
    listed = "\n".join([*COMMANDS, "recipe_options"])
    return (
        "# Command line\n\n`crosstask COMMAND --help` tells what these pages tell.\n\n"
        f"| command | what it does |\n|---|---|\n{lines}\n\n"
        "`train`, `info` and `study` also take the [options of the recipe](recipe_options.md).\n\n"
        f"Exit codes: {codes}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _command(command: str, text: str) -> str:
    parser = parser_of(command)
    lines = [f"# crosstask {command}", ""]
    if command in NAMED:
        lines += [f"{text[0].upper()}{text[1:]}.", ""]
        of_recipe = {o.name for o in parts_of(find_recipe("procedural.supervised")).options}
        own = [a for a in parser._actions if a.dest.split(".")[0] not in of_recipe]
        what = "NAME" if command == "study" else "RECIPE"
        lines += ["```text", f"crosstask {command} {what} [options]", "```", ""]
        lines += ["And the [options of the recipe](recipe_options.md).", ""]
        return "\n".join([*lines, *_options(parser, own)])
    return "\n".join([*lines, *_section(parser, text)])


def _section(parser: argparse.ArgumentParser, told: str = "") -> list[str]:
    """Description, usage and options of a parser and of those below it."""
    text = parser.description or told
    lines = [_plain(text[:1].upper() + text[1:].rstrip(".") + "."), ""]
    usage_text = re.sub(r"^usage: ", "", parser.format_usage()).rstrip()
    lines += ["```text", re.sub(r"(?m)^ {7}", "", usage_text), "```", ""]
    lines += _options(parser, parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                level = "#" * len(below.prog.split()[1:])
                lines += [f"{level} {below.prog}", "", *_section(below, helps.get(name, ""))]
    return lines


def _options(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> Iterator[str]:
    for action in actions:
        hidden = isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        if hidden or action.dest == "help" or action.help == argparse.SUPPRESS:
            continue
        told = parser._get_formatter()._expand_help(action) if action.help else ""
        told = re.sub(r" *\((required|type:|default:)[^()]*\)$", "", told).rstrip(".")
        if action.dest == "json":
            told = "JSON on standard output"
        shown = action.default not in (None, False, "", argparse.SUPPRESS, [])
        default = f" (default `{action.default}`)" if shown and "default" not in told else ""
        yield f"`{_term(action)}`\n: {_plain(told)}{default}.\n"


def _term(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest).upper()
    names = ", ".join(o if o[1] != "-" else o.replace("_", "-") for o in action.option_strings)
    if action.nargs == 0:
        return names
    if action.choices is not None:
        return f"{names} {'|'.join(map(str, action.choices))}"
    metavar = action.metavar or action.dest.upper()
    return f"{names} {' '.join(metavar) if isinstance(metavar, tuple) else metavar}"


# Recipes --------------------------------------------------------------------------------------


def _recipes() -> str:
    """The recipes in a table, the options that they share, and what is special to each."""
    options = {name: parts_of(find_recipe(name)).options for name in RECIPES}
    owners: dict[tuple[str, str], list[str]] = {}
    for name, listed in options.items():
        for option in listed:
            owners.setdefault(_key(option), []).append(name)
    rows = "\n".join(f"| [{n}](#{_anchor(n)}) | {_plain(t)} |" for n, t in RECIPES.items())
    lines = [
        "# Options of the recipes", "",
        "`crosstask train RECIPE --help` tells them too, `--print-config` writes them as YAML, and "
        "`--config FILE` reads them.", "",
        "Defaults are those of the first recipe in the table that has the option; where another has its own, "
        "its section says so.", "",
        f"| recipe | what it trains |\n|---|---|\n{rows}\n",
        "## Options of many recipes", "",
    ]  # fmt: skip
    groups: dict[str, list[str]] = {}
    told: dict[tuple[str, str], Option] = {}
    for listed in options.values():
        for option in listed:
            key = _key(option)
            if key not in told and len(owners[key]) >= SHARED:
                told[key] = option
                groups.setdefault(group_title(option.group), []).append(
                    _option(option, _whose(owners[key]))
                )
    for title, texts in groups.items():
        lines += [f"### {title[0].upper()}{title[1:]}", "", *texts]
    for name, listed in options.items():
        lines += [f"## {name}", "", f"{_plain(summary(find_recipe(name).__doc__))}", ""]
        lines += [_option(option) for option in listed if _key(option) not in told]
        other = [o for o in listed if _key(o) in told and o.default != told[_key(o)].default]
        if other:
            values = [
                f"`{_flag(o.name)} {_value(o.default)}`" for o in other if o.default is not None
            ]
            empty = [f"`{_flag(o.name)}`" for o in other if o.default is None]
            lines += [f"Other defaults: {', '.join(values)}.", ""] if values else []
            lines += [f"Left out by default: {', '.join(empty)}.", ""] if empty else []
    return "\n".join(lines)


def _key(option: Option) -> tuple[str, str]:
    return option.name, option.sentence


def _whose(names: list[str]) -> str:
    if len(names) == len(RECIPES):
        return ""
    without = [name for name in RECIPES if name not in names]
    few = min(_patterns(names), _patterns(without), key=len)
    return (
        f" {'Not' if few == _patterns(without) else 'Only'} of {', '.join(f'`{n}`' for n in few)}."
    )


def _patterns(names: list[str]) -> list[str]:
    """Names of recipes, with `*` for all datasets of a regime or all regimes of a dataset."""
    found, left = [], list(names)
    for part, shown in ((1, "*.{}"), (0, "{}.*")):
        for word in dict.fromkeys(name.split(".")[part] for name in names):
            all_of_it = [name for name in RECIPES if name.split(".")[part] == word]
            if len(all_of_it) > 1 and set(all_of_it) <= set(names) and set(all_of_it) & set(left):
                found.append(shown.format(word))
                left = [name for name in left if name not in all_of_it]
    return [*found, *left]


def _option(option: Option, whose: str = "") -> str:
    sentence = _plain(option.sentence).rstrip(".")
    default = "" if option.default in (None, "") else f" (default `{_value(option.default)}`)"
    if option.default is inspect.Parameter.empty:
        default = " (required)"
    return f"`{_flag(option.name)} {_type(option.type)}`\n: {sentence}{default}.{whose}\n"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _value(value: object) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _type(kind: Any) -> str:
    """A type as it is written on a command line."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "|".join(map(str, typing.get_args(kind)))
    if origin in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        return "|".join(map(_type, kinds))
    words = {bool: "true|false", int: "N", float: "X", str: "TEXT", Path: "PATH", dict: "KEY VALUE"}
    return words.get(origin or kind, "VALUE")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.lower())


def _plain(text: str) -> str:
    """Text of a help message as Markdown: only what stands in backquotes is markup."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p[:1] == "`" else re.sub(r"([*_<>\[\]|])", r"\\\1", p) for p in parts)
