"""The type checker that executes the shape annotations while the tests run.

A check takes longer than many a small function that the renderer calls ten thousand times, and half of the
tests' time went there. So every test checks the first `CHECKED` calls of a function, and no further ones.
"""

import inspect
import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from beartype import BeartypeConf, beartype

CHECKED = 100  # calls of one function in one test

# An int is a float, as PEP 484 says and everybody writes.
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_calls: Counter[tuple[str, str]] = Counter()
_skipped: list[Any] = []


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function (jaxtyping's: arguments, or arguments and result, of one of ours) with its types checked."""
    checked, key = _beartype(function), (function.__module__, function.__qualname__)

    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _calls[key] += 1
        if _calls[key] == 2 * CHECKED:  # a call is two checks, of its arguments and of its result
            _skip(*key)
        return checked(*args, **kwargs)

    return counted


def begin_test() -> None:
    """Every function is checked again."""
    _calls.clear()
    for function in _skipped:
        del function.__no_type_check__
    _skipped.clear()


def _skip(module: str, qualname: str) -> None:
    """Marks the function, which jaxtyping looks at in every call; one inside another is not found, and checked on."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = inspect.getattr_static(found, name, None)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    while found is not None:
        if inspect.isfunction(found) and "__no_type_check__" not in vars(found):
            found.__no_type_check__ = True  # type: ignore[attr-defined]
            _skipped.append(found)
        found = getattr(found, "__wrapped__", None)
