"""Ctrl-C, SIGTERM and a cluster's pre-emption signal: what was computed is saved, then the process ends.

A command ends by the exception `Stopped`, so that files which are only half written are removed on
the way out. Training in addition waits for the end of its optimiser step (and of a validation that
has begun), saves, and then raises it: a run that is continued from there repeats nothing.

No torch here: the command line needs it before torch is loaded.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# Both end a program from outside; SIGINT (Ctrl-C) is Python's own KeyboardInterrupt elsewhere.
ENDING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal ends the program; the message says what is saved.

    Not an `Exception`: whoever goes on after errors (a study, a loop over files) stops here.

    Attributes:
        signal: its number; a command's exit code is 128 + signal, as in a shell.
    """

    def __init__(self, number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.signal = int(number)

    @property
    def exit_code(self) -> int:
        return 128 + self.signal


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
    """SIGTERM raises `Stopped` wherever the program is; Ctrl-C stays a KeyboardInterrupt."""
    with _handling({signal.SIGTERM: _raise}):
        yield


@contextlib.contextmanager
def _handling(handlers: dict[signal.Signals, object]) -> Iterator[None]:
    """These handlers, in the main thread (elsewhere Python allows none), and then the old ones."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, new) for number, new in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


class Watch:
    """The signals of one training: at once outside its steps, at the end of a step within.

    Attributes:
        received: the signal that waits for the end of the step, or None.
        waiting: whether signals wait (training steps and validations) or raise at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.waiting = False
        self.requeue: int | None = None

    @contextlib.contextmanager
    def handle(self) -> Iterator["Watch"]:
        """Takes over SIGINT and SIGTERM until the end of the block."""
        with _handling(dict.fromkeys(ENDING, self._notice)):
            yield self

    def wait(self, requeue: int | None = None) -> None:
        """From now on signals wait for the end of a step.

        The trainer puts its own handlers in place when it starts; ours come after them.

        Args:
            requeue: the signal by which a cluster announces that it will take the machine away.
        """
        self.waiting, self.requeue = True, requeue
        if threading.current_thread() is threading.main_thread():
            for number in (*ENDING, *([requeue] if requeue is not None else [])):
                signal.signal(number, self._notice)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None and number == signal.SIGINT
        if not self.waiting or again:
            raise Stopped(number)
        if self.received is None:
            self.received = number
            if number == signal.SIGINT:
                text = "stopping after this step, or this validation; Ctrl-C again stops at once"
                print(f"\n{text}", file=sys.stderr)


def requeue_job() -> str:
    """Asks SLURM to start this job again; returns what to tell.

    The job's script has `--resume` in its command, so that the new start continues.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
    if not job or job.strip("0123456789_-"):
        return f"the job is not requeued: SLURM_JOB_ID is {job!r}; submit it again"
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"job {job} is not requeued ({error}); submit it again"
    if done.returncode:
        reason = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        return f"job {job} is not requeued (scontrol: {reason}); submit it again"
    return f"job {job} is requeued"
