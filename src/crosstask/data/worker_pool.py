"""Work in several processes, that ends with the program: on an error, Ctrl-C or SIGTERM nobody is waited for."""

import multiprocessing
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from crosstask.data.loading import shielded, start_worker
from crosstask.data.sample import DataError

T = TypeVar("T")
R = TypeVar("R")
_SPAWN = multiprocessing.get_context("spawn")
_POLL = 0.01  # seconds; calls are worked on ahead, so that none waits for this


class _Shielded(_SPAWN.Process):  # type: ignore[name-defined, misc]
    """A fresh process that is not the one to act on Ctrl-C and SIGTERM."""

    def start(self) -> None:
        with shielded(fresh=True):
            super().start()


class _Context(type(_SPAWN)):  # type: ignore[misc]
    """Starts fresh processes and remembers them: before Python 3.14 an executor does not tell its own."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def Process(self, *args: Any, **options: Any) -> Any:
        """As every context of multiprocessing: a process, not started yet."""
        process = _Shielded(*args, **options)
        self.started.append(process)
        return process


_packed: bytes = b""
_unpacked: list[Callable[..., Any]] = []


def _begin(common: bytes) -> None:
    """What a process does first; unpacking waits for the first call, whose error is then told."""
    global _packed
    _packed = common
    start_worker()


def _common(*args: Any) -> Any:
    """A call of the pool's common function, in one of its processes."""
    if not _unpacked:
        _unpacked.append(pickle.loads(_packed))
    return _unpacked[0](*args)


class WorkerPool:
    """Fresh processes of one thread each, as a context manager.

    The end of the block waits for what was submitted. An exception that leaves the block kills them:
    the executor of the standard library would wait, and does so for ever where a signal to the whole
    group of processes, as Ctrl-C in a terminal, meets one that is still starting.

    Args:
        number: of processes, at least 1.
        common: for `_common`, unpacked once a process.
    """

    def __init__(self, number: int, common: Callable[..., Any] | None = None) -> None:
        self._context = _Context()
        self._pool = ProcessPoolExecutor(number, self._context, _begin, (pickle.dumps(common),))

    def submit(self, function: Callable[..., R], *args: Any) -> Future[R]:
        """A call in one of the processes; both have to be picklable."""
        with _deferred():
            return self._pool.submit(function, *args)

    def result(self, future: Future[R]) -> R:
        """Waits for a call, and gives what it gave or raises what it raised.

        Instead of `future.result()`, which holds a lock where an interruption could leave it locked
        for ever.
        """
        while True:
            with _deferred():
                if future.done():
                    return future.result()
            time.sleep(_POLL)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """
        Raises:
            DataError: one of the processes was ended from outside.
        """
        with _deferred():
            if kind is not None:
                self.kill()
            self._pool.shutdown()
        if kind is not None and issubclass(kind, BrokenProcessPool):
            raise DataError(
                "one of the processes that share the work was ended from outside, most often for want of "
                "memory; free some, or use fewer processes (`--workers`, where the command has it)."
            )

    def kill(self) -> None:
        """End the processes at once; what they had not finished raises BrokenProcessPool."""
        for process in self._context.started:
            process.kill()


def in_workers(function: Callable[[T], R], items: Iterable[T], number: int) -> Iterator[R]:
    """`function` of each item, in order; with `number` above 0 in as many processes.

    A few items are worked on ahead of what is taken, not all. Each process unpacks the function once, so
    that what it holds, such as an opened dataset, stays open from item to item.
    """
    if number < 1:
        yield from map(function, items)
        return
    with WorkerPool(number, function) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(_common, item))
            if len(waiting) > 2 * number:
                yield pool.result(waiting.popleft())
        while waiting:
            yield pool.result(waiting.popleft())


@contextmanager
def _deferred() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect after the block; an executor that they interrupt may never end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python tells signals to the main thread alone
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came in received:
            signal.raise_signal(came)
