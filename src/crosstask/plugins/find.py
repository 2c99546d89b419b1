"""From what was given (a name, `FILE.py:NAME`, or the thing itself) to the thing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from crosstask.plugins.files import UNSAVED, OwnFileError, load, parse, reference_of
from crosstask.suggest import UnknownNameError, nearest

T = TypeVar("T")
# What can be of a user's own, and how the command line takes it.
KINDS: Mapping[str, str] = {
    "architecture": "--architecture",
    "exchange": "--options.exchange",
    "balancing": "--balancing",
    "task": "--tasks",
    "dataset": "--dataset, `crosstask data`",
    "recipe": "crosstask train",
    "study": "crosstask study",
}
_REGISTERED: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}


def register(kind: str, thing: T, name: str | None = None) -> T:
    """Give a part of your own a name, for this process, beside the names of this package.

        crosstask.register("exchange", MeanExchange, "mean")
        crosstask.create_model("densemtl", tasks, exchange="mean")

    A model that is made with it records the name; a process that loads the model registers the
    part first. `FILE.py:NAME` needs no registration.

    Args:
        kind: architecture, exchange, balancing, task, dataset, recipe or study.
        thing: what that kind is, see the documentation on extending; looked at when it is used.
        name: its own (`__name__`) if left out. A second thing of one name replaces the first.

    Returns:
        `thing`.

    Raises:
        ValueError: an unknown kind, or no usable name.
    """
    if kind not in KINDS:
        raise ValueError(nearest(kind, list(KINDS), "kind"))
    # Anything may be registered: functions and classes have the one, tasks the other.
    chosen = name or getattr(thing, "__name__", None) or getattr(thing, "name", "")
    if not isinstance(chosen, str) or not chosen or parse(chosen) or set(chosen) & set(":,/ "):
        raise ValueError(
            f"`name` is {chosen!r}; expected a name without colons, commas, slashes and spaces"
        )
    _REGISTERED[kind][chosen] = thing
    return thing


def registered(kind: str) -> dict[str, Any]:
    """{name: thing} of what was registered of a kind, in order."""
    return dict(_REGISTERED[kind])


def find(
    kind: str, given: Any, known: Mapping[str, T], accepts: Callable[[Any], bool], expected: str
) -> T:
    """The thing behind a name of this package, a registered one, `FILE.py:NAME`, or itself.

    Args:
        kind: one of `KINDS`.
        given: a name, a reference, or the thing.
        known: the names of this package.
        accepts: whether something is of the kind.
        expected: what is, in words: "a function that returns an Experiment".

    Raises:
        ValueError: an unknown name (the nearest are named), a file that cannot be used, or
            something of another kind.
    """
    if not isinstance(given, str):
        return _checked(kind, given, repr(given), accepts, expected)
    if reference := parse(given):
        if reference.rest:
            raise OwnFileError(f"`{kind}` is {given!r}; expected FILE.py:NAME without a second `:`")
        return _checked(kind, load(reference, kind), given, accepts, expected)
    own = _REGISTERED[kind]
    if given in known and given in own:
        raise ValueError(
            f"the {kind} {given!r} is one of crosstask; register yours by another name"
        )
    if given in own:
        return _checked(kind, own[given], f"{own[given]!r}", accepts, expected)
    if given not in known:
        unknown = nearest(given, [*known, *own], kind)
        advice = "Your own: path/to/file.py:name, or `crosstask.register`"
        raise UnknownNameError(f"{unknown}. {advice}", kind)
    return known[given]


def recorded(given: Any) -> str:
    """What model.json says of something given: its name, or `FILE.py:NAME` with the whole path."""
    if not isinstance(given, str):
        # A function or class has a name, an object the one of its class.
        return reference_of(given) or str(getattr(given, "__name__", type(given).__name__))
    reference = parse(given)
    if reference is None:
        return given
    rest = f":{reference.rest}" if reference.rest else ""
    return f"{reference.file.resolve()}:{reference.name}{rest}"


def short(text: str) -> str:
    """A recorded name for a person: of a file only its own name."""
    reference = parse(text)
    return str(replace(reference, file=Path(reference.file.name))) if reference else text


def is_recordable(text: str) -> bool:
    """Whether what `recorded` said can be found again by another process."""
    return not text.startswith(UNSAVED)


def _checked(
    kind: str, thing: Any, shown: str, accepts: Callable[[Any], bool], expected: str
) -> Any:
    if not accepts(thing):
        raise OwnFileError(
            f"`{kind}` is {shown}, {_article(type(thing).__name__)}; expected {expected}"
        )
    return thing


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"
