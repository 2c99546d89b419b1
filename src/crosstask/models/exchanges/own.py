"""An exchange of a user's own, at the levels of DenseMTL's decoders."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from crosstask.plugins.find import find, recorded

_EXPECTED = (
    "a class (a torch.nn.Module) or function that is called as "
    "exchange(tasks, channels, level, **exchange_options)"
)


def own_exchange(
    given: Any, tasks: tuple[str, ...], options: Mapping[str, Any]
) -> Callable[[int, int], nn.Module]:
    """(level, channels) -> the exchange at that level.

    Args:
        given: `FILE.py:NAME`, a registered name, a class or a function.
        tasks: names, in order.
        options: further arguments by name.

    Raises:
        ValueError: unknown, no class or function, or one that cannot be called so.
    """
    kind: Callable[..., Any] = find("exchange", given, {}, _is_exchange, _EXPECTED)

    def make(level: int, channels: int) -> nn.Module:
        try:
            made = kind(tasks, channels, level, **options)
        except TypeError as error:
            raise ValueError(
                f"the exchange {recorded(given)} cannot be made ({error}); it is called as "
                "exchange(tasks, channels, level, **exchange_options)"
            ) from error
        if not isinstance(made, nn.Module):
            raise ValueError(
                f"the exchange {recorded(given)} made {type(made).__name__}; expected torch.nn.Module"
            )
        return made

    return make


def _is_exchange(thing: Any) -> bool:
    return issubclass(thing, nn.Module) if isinstance(thing, type) else callable(thing)
