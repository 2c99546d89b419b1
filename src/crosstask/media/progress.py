"""Waiting is visible: what is done, and what remains, on standard error."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """A bar in a terminal, a line every so often in a pipe, nothing where quiet.

    Attributes:
        quiet: say nothing.
        period: seconds between two lines in a pipe.
        screen: where it is told; standard error if left out.
    """

    quiet: bool = False
    period: float = 30.0
    screen: "Console | None" = None

    def each(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """The items; tells how many of `total` are done and about how long the others take."""
        screen = None if self.quiet else self._screen()
        if screen is None:
            yield from items
        elif screen.is_terminal:
            with bar(screen) as shown:
                task = shown.add_task(title, total=total, facts="")
                yield from shown.track(items, total=total, task_id=task)
        else:
            yield from self._lines(items, total, title, screen)

    def _lines(self, items: Iterable[T], total: int, title: str, screen: "Console") -> Iterator[T]:
        began = told = time.monotonic()
        for done, item in enumerate(items):
            now = time.monotonic()
            if done and now - told >= self.period:
                told = now
                left = (now - began) / done * (total - done)
                _say(screen, f"{title}: {done} of {total}, about {duration(left)} left")
            yield item

    @contextmanager
    def during(self, title: str) -> Iterator[None]:
        """While something runs that cannot be counted: what it is, and since when."""
        screen = None if self.quiet else self._screen()
        if screen is None:
            yield
        elif screen.is_terminal:
            with screen.status(title):
                yield
        else:
            ended = threading.Event()
            teller = threading.Thread(target=self._tell, args=(title, screen, ended), daemon=True)
            teller.start()
            try:
                yield
            finally:
                ended.set()
                teller.join()

    def _tell(self, title: str, screen: "Console", ended: threading.Event) -> None:
        began = time.monotonic()
        while not ended.wait(self.period):
            _say(screen, f"{title}: for {duration(time.monotonic() - began)} now")

    def _screen(self) -> "Console":
        from rich.console import Console

        return self.screen or Console(stderr=True)


QUIET = Progress(quiet=True)


def duration(seconds: float) -> str:
    """A time in the unit that fits: 40 s, 3.2 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _say(screen: "Console", text: str) -> None:
    screen.print(text, markup=False, highlight=False, soft_wrap=True)


def bar(screen: "Console") -> "Bar":
    """The bar of everything that is counted: what, how many of how many, `facts`, time, time left.

    Nothing is shown where `screen` is no terminal. `add_task` needs `facts`, a short text or "".
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.table import Column

    name = Column(
        max_width=24, no_wrap=True, overflow="ellipsis"
    )  # a long one leaves room for the rest
    return Bar(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
