"""Work in several processes, that ends with the program: on an error, Ctrl-C or SIGTERM nobody is waited for."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from crosstask.data.loading import start_worker
from crosstask.data.sample import DataError

T = TypeVar("T")
R = TypeVar("R")
_CONTEXT = multiprocessing.get_context("spawn")


class Processes:
    """Fresh processes of one thread each, as a context manager.

    The end of the block waits for what was submitted. An exception that leaves the block kills them:
    the executor of the standard library would wait, and does so for ever where a signal to the whole
    group of processes, as Ctrl-C in a terminal, meets one that is still starting.

    Args:
        number: of processes, at least 1.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._others = _running()
        self._pool = ProcessPoolExecutor(number, _CONTEXT, start_worker)

    def submit(self, function: Callable[..., R], *args: Any) -> Future[R]:
        """A call in one of the processes; both have to be picklable."""
        return self._pool.submit(function, *args)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()
        self._pool.shutdown()
        if kind is not None and issubclass(kind, BrokenProcessPool):
            raise DataError(
                "a process that helped was ended from outside, most often for want of memory; "
                "give it less to do at a time: fewer `--workers`, or 0 for none."
            )

    def kill(self) -> None:
        """End the processes at once; what they had not finished raises BrokenProcessPool."""
        for process in _running() - self._others:
            process.kill()


def in_processes(function: Callable[[T], R], items: Iterable[T], number: int) -> Iterator[R]:
    """`function` of each item, in order; with `number` above 0 in as many processes.

    A few items are worked on ahead of what is taken, not all.
    """
    if number < 1:
        yield from map(function, items)
        return
    with Processes(number) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * number:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _running() -> set[Any]:
    """Processes started afresh by this one; those of a loader are forked, and not among them."""
    return {
        child for child in multiprocessing.active_children() if isinstance(child, _CONTEXT.Process)
    }
