"""Kinds of task by their names: the task that a description (JSON) names, and its letter."""

import difflib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from crosstask.plugins.files import load, parse

if TYPE_CHECKING:
    pass
from crosstask.tasks.task import Task


def from_spec(spec: dict[str, Any]) -> Task:
    """The task that `Task.to_spec` described; knows every imported subclass of `Task`.

    A kind of task in a file outside of the package, `FILE.py:NAME`, is taken from that file, which runs it:
    for a spec of unknown origin ask `crosstask.plugins.trust` first.

    Raises:
        ValueError: unknown type (with the nearest names) or option.
    """
    fields_of = dict(spec)
    kind = fields_of.pop("type", None)
    if reference := parse(kind):
        own = load(reference, "task")
        if not isinstance(own, type) or not issubclass(own, Task):
            raise ValueError(
                f"`type` is {kind}, which is not a kind of task; expected a class of tasks"
            )
        return own.build(fields_of)
    types = {cls.__name__: cls for cls in _subclasses(Task)}  # type: ignore[type-abstract]
    if kind not in types:
        near = difflib.get_close_matches(str(kind), types) or list(types)
        raise ValueError(
            f"`type` is {kind!r}; expected a kind of task such as {', '.join(near)}; "
            "import the module that defines your own task first"
        )
    return types[kind].build(fields_of)


def short_name(name: str) -> str:
    """The letter of the kind of task that has this name by default; the name itself for others."""
    letters: dict[str, str] = {}
    for cls in _subclasses(Task):  # type: ignore[type-abstract]
        default = cls.__dataclass_fields__["name"].default
        if isinstance(default, str) and cls.letter and cls.letter not in letters.values():
            letters.setdefault(default, cls.letter)
    return letters.get(name, name)


def _subclasses(cls: type[Task]) -> Iterator[type[Task]]:
    for child in cls.__subclasses__():
        if not inspect.isabstract(child):
            yield child
        yield from _subclasses(child)
