"""Frames of a camera or video, the newest first: a reader in a thread, old frames dropped."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from crosstask_runtime.camera import check_focal

if TYPE_CHECKING:
    from crosstask_runtime.model import Model
    from crosstask_runtime.scene import Scene

Frame = TypeVar("Frame")


class SourceLost(ConnectionError):
    """A source stalled or broke off; what came before has been handed on."""


@dataclass(frozen=True)
class Arrival(Generic[Frame]):
    """One frame with its time.

    Attributes:
        frame: as the source gave it.
        number: of the frame in the source, from 0.
        arrived: `time.monotonic()` when it was read.
        dropped: frames of the source that were read and never handed on, so far.
    """

    frame: Frame
    number: int
    arrived: float
    dropped: int


def newest(
    source: Iterable[Frame], *, waiting: int = 1, stall: float = 5.0, keep_all: bool = False
) -> Iterator[Arrival[Frame]]:
    """Frames as fast as they are asked for; of those that wait, the oldest are dropped.

    Args:
        source: blocks until it has a frame; read in a thread of its own, and closed at the end where
            it can be.
        waiting: most frames that wait.
        stall: seconds without a frame after which the source counts as lost.
        keep_all: no frame is dropped; the source waits instead (files).

    Raises:
        ValueError: `waiting` or `stall` is not above 0.
        SourceLost: no frame for `stall` seconds, or the source broke off with an error.
    """
    if waiting < 1 or not stall > 0:
        raise ValueError(f"`waiting`, `stall` are {waiting}, {stall}; expected above 0")
    reader = _Reader(source, waiting, keep_all)
    try:
        while (arrival := reader.take(stall)) is not None:
            yield arrival
    finally:
        reader.stop()


class _Reader(Generic[Frame]):
    def __init__(self, source: Iterable[Frame], waiting: int, keep_all: bool) -> None:
        self.source, self.waiting, self.keep_all = source, waiting, keep_all
        self.queue: deque[Arrival[Frame]] = deque()
        self.changed = threading.Condition()
        self.ended, self.stopped, self.dropped = False, False, 0
        self.defect: BaseException | None = None
        self.thread = threading.Thread(target=self._read, name="frames", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        frames = iter(self.source)
        try:
            for number, frame in enumerate(frames):
                if not self._put(number, frame):
                    break
        except BaseException as error:
            self.defect = error
        finally:
            if isinstance(frames, Iterator) and hasattr(frames, "close"):
                frames.close()
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _put(self, number: int, frame: Frame) -> bool:
        with self.changed:
            while self.keep_all and len(self.queue) >= self.waiting and not self.stopped:
                self.changed.wait()
            if self.stopped:
                return False
            while len(self.queue) >= self.waiting:
                self.queue.popleft()
                self.dropped += 1
            self.queue.append(Arrival(frame, number, time.monotonic(), self.dropped))
            self.changed.notify_all()
        return True

    def take(self, stall: float) -> Arrival[Frame] | None:
        """The next frame; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.ended, timeout=stall)
            if self.queue:
                arrival = self.queue.popleft()
                self.changed.notify_all()
                return arrival
            if not self.ended:
                raise SourceLost(
                    f"the source gave no frame for {stall:g} seconds; check the camera or the address, "
                    "or wait longer (`stall`)"
                )
            if self.defect is not None:
                raise SourceLost(f"the source broke off: {self.defect}") from self.defect
        return None

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.thread.join(timeout=1.0)  # a source that hangs is left behind


class Pace:
    """Frames a second over the last results, and how old the last one was when it was done."""

    def __init__(self, over: int = 30) -> None:
        self.times: deque[float] = deque(maxlen=over)

    def done(self, arrived: float) -> dict[str, float]:
        """`latency_ms` from reading to result, and `fps`."""
        now = time.monotonic()
        self.times.append(now)
        span = now - self.times[0]
        rate = (len(self.times) - 1) / span if span > 0 else 0.0
        return {"latency_ms": 1e3 * (now - arrived), "fps": rate}


def watch(
    model: "Model",
    source: Iterable[np.ndarray],
    *,
    fx: float | None = None,
    waiting: int = 1,
    stall: float = 5.0,
    keep_all: bool = False,
    fov: float | None = None,
) -> Iterator["Scene"]:
    """Predictions of a source's newest frames, with `latency_ms`, `fps`, `frame`, `dropped` in `facts`.

    Args:
        source: (H,W,3) uint8 RGB frames.
        fx: focal length in pixels of the frames.
        fov: their horizontal field of view in degrees, in place of it.
        waiting, stall, keep_all: as for `newest`.

    Raises:
        ValueError: `fx` and `fov` together, or an impossible one; no frame is read then.
        SourceLost: the source stalled or broke off.
    """
    check_focal(None, fx, fov)
    pace = Pace()
    for arrival in newest(source, waiting=waiting, stall=stall, keep_all=keep_all):
        scene = model.predict(arrival.frame, fx, fov=fov)
        counts = {"frame": float(arrival.number), "dropped": float(arrival.dropped)}
        yield replace(scene, facts=pace.done(arrival.arrived) | counts)
