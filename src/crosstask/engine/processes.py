"""Several processes train one run: where one of them ends, the others say which, and end too.

Lightning starts the further processes of a machine from the first. A process that waits for another
one in a collective operation would wait for minutes (NCCL), or fail with the address of a socket
(gloo); and Lightning kills the first process without a word. Here every process looks twice a second
whether its partner lives: the first one at those it has started, these at the first. Processes that
torchrun or SLURM started are theirs to look after.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch.distributed as dist
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

PERIOD, GRACE = 0.5, 10.0  # seconds
_LEADER = "CROSSTASK_LEADER"  # process id of the first process, for those that it starts
# What the first process of a training sets for the others, and takes for orders the next time.
_SET = ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", _LEADER)


class ProcessEndedError(RuntimeError):
    """Another process of the same training has ended; says which, how, and what to do."""


class ProcessWatch:
    """Looks after the other processes on this machine.

    Args:
        launcher: of the trainer's strategy; it has `procs`, what it started, in the order of ranks.
        advice: what is saved and how to go on; the end of the message.
    """

    def __init__(self, launcher: Any, advice: str) -> None:
        self.launcher, self.advice = launcher, advice
        self.rank = int(os.environ.get("LOCAL_RANK", "0"))
        if not self.rank:
            os.environ[_LEADER] = str(os.getpid())
        self._leader = int(os.environ.get(_LEADER, os.getppid()))
        self._done = threading.Event()

    def ended(self) -> str | None:
        """Which process ended too early, and how; None where none did."""
        if self.rank:
            if os.getppid() == self._leader:
                return None
            return f"process 0 (PID {self._leader}), which started the others, has ended"
        for rank, process in enumerate(self._started(), 1):
            if code := process.poll():
                return f"process {rank} (PID {process.pid}) {_how(code)}"
        return None

    def _started(self) -> Sequence[subprocess.Popen[bytes]]:
        started = self.launcher.procs
        if started:
            for thread in threading.enumerate():  # Lightning's own, which kills without a word
                if thread.name == "child-process-observer":
                    thread._child_processes = []  # type: ignore[attr-defined]
        return started

    def message(self, what: str) -> str:
        return f"{what}; training cannot go on without it. {self.advice}"

    def watch(self) -> None:
        """The body of a thread: ends this process if it does not end by itself."""
        while not self._done.wait(PERIOD):
            found = self.ended()
            if found is None:
                continue
            if not self._done.wait(GRACE):
                print(f"error: {self.message(found)}", file=sys.stderr, flush=True)
                self._end_others()
                os._exit(2)
            return

    def _end_others(self) -> None:
        for process in [] if self.rank else self._started():
            with contextlib.suppress(OSError):
                process.kill()

    def stop(self) -> None:
        self._done.set()

    def explain(self, error: Exception) -> ProcessEndedError | None:
        """Whether this error is only the consequence of another process's end."""
        if not (isinstance(error, RuntimeError) and dist.is_available()):
            return None
        if type(error) is not RuntimeError and not isinstance(error, dist.DistError):
            return None  # of this process's own
        until = time.monotonic() + GRACE / 2
        while (found := self.ended()) is None and time.monotonic() < until:
            time.sleep(0.1)
        if found is None:
            return None
        self._end_others()
        return ProcessEndedError(self.message(found))


@contextlib.contextmanager
def watching(launcher: Any, processes: int, advice: str) -> Iterator[None]:
    """Inside, the end of another process becomes a `ProcessEndedError` here.

    Args:
        launcher: see `ProcessWatch`; None where there is but one process.
        processes: how many train.
    """
    if (
        processes < 2
        or not isinstance(launcher, _SubprocessScriptLauncher)
        or not isinstance(launcher.cluster_environment, LightningEnvironment)
    ):  # alone, or started by torchrun or SLURM
        yield
        return
    before = {name: os.environ.get(name) for name in _SET}
    watch = ProcessWatch(launcher, advice)
    thread = threading.Thread(target=watch.watch, name="process-watch", daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        explained = watch.explain(error)
        if explained is None:
            raise
        raise explained from error
    finally:
        watch.stop()
        thread.join(2 * PERIOD)
        for name, value in before.items():  # a training that follows starts processes of its own
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            more = ": the system may have run out of memory (see `dmesg`)" if code == -9 else ""
            return f"was ended by {name}{more}"
    return f"has ended with exit code {code}, for the reason that it gives above"


def process_rank() -> int:
    """This process's number among those of a training, before Lightning knows it; 0 if alone."""
    known = [os.environ[k] for k in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if k in os.environ]
    return int(known[0]) if known else 0


def launched_by() -> ClusterEnvironment | None:
    """What started this process as one of several, torchrun or SLURM; None where nothing did."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return SLURMEnvironment() if SLURMEnvironment.detect() else None
