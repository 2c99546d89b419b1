"""Reading of the options that every recipe shares, with errors that say what to do."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crosstask.plugins.find import find

if TYPE_CHECKING:
    from crosstask.tasks import Task


def parse_size(size: str | Sequence[int]) -> tuple[int, int]:
    """ "128x256" -> (128, 256), height first."""
    if not isinstance(size, str):
        height, width = size
        return int(height), int(width)
    match = re.fullmatch(r"(\d+)x(\d+)", size.strip())
    if match is None:
        raise ValueError(f"`size` is {size!r}; expected HEIGHTxWIDTH, for example 128x256")
    height, width = int(match[1]), int(match[2])
    if min(height, width) < 32:
        raise ValueError(f"`size` is {size!r}; expected at least 32 pixels a side")
    return height, width


def parse_names(names: str | Sequence[str], option: str = "tasks") -> tuple[str, ...]:
    """ "segmentation,depth" -> ("segmentation", "depth"), order kept.

    Raises:
        ValueError: one stands twice; `option` is what the message calls them.
    """
    parts = names.split(",") if isinstance(names, str) else list(names)
    cleaned = tuple(p.strip() for p in parts if p.strip())
    repeated = [n for i, n in enumerate(cleaned) if n in cleaned[:i]]
    if repeated:
        raise ValueError(f"`{option}` names {', '.join(repeated)} twice; name each once")
    return cleaned


def choose_tasks(names: str | Sequence[str], available: "Mapping[str, Task]") -> "tuple[Task, ...]":
    """The asked tasks, in the asked order, out of those that the dataset can teach."""
    asked = parse_names(names)
    if not asked:
        raise ValueError(f"`tasks` is empty; expected some of {', '.join(available)}")
    return tuple(_task(name, available) for name in asked)


def _task(name: str, available: "Mapping[str, Task]") -> "Task":
    """A task of the dataset's, or of the user's own: `FILE.py:NAME`, a registered name."""
    found: Any = find("task", name, available, _is_task, "a Task, or a class of tasks")
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise ValueError(
            f"the task {name} cannot be made without arguments ({error}); name an object of it instead, "
            "which the file makes"
        ) from error


def _is_task(thing: Any) -> bool:
    from crosstask.tasks import Task

    return issubclass(thing if isinstance(thing, type) else type(thing), Task)


def needed_root(
    root: str | None, recipe: str, option: str = "root", dataset: str = "the dataset"
) -> str:
    """The dataset's folder, or an error that says how to give it."""
    if root is None:
        raise ValueError(
            f"`{option}` is missing: give the folder of {dataset}, "
            f"`--{option.replace('_', '-')} DIR` ({recipe})"
        )
    return root
