"""Threads of a process and loader processes, chosen from the cores that it may use. Without torch.

GNU OpenMP, with which torch is built, lets threads that wait for the others spin. Beside one other
busy process (the loader's own workers are such) they take the time that the others need, and
training falls to a fraction of its speed. OpenMP reads the policy when torch is loaded: the command
line sets a passive one before, see `prepare_environment`.
Measurements: docs/scaling.md.
"""

import argparse
import os
import sys
from collections.abc import MutableMapping
from typing import Literal

from crosstask.engine.cores import Cores, cores

Workers = int | Literal["auto"]

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
# A user who sets one of these has decided how threads wait.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
THREADS = "OMP_NUM_THREADS"
# What the command line chose for itself and its child processes; tells its choice from a user's.
CHOSEN, SHARE = "CROSSTASK_CHOSEN_THREADS", "CROSSTASK_CORES"
# Beyond so many, the queues of a loader take more memory than they gain time.
MOST_WORKERS = 8

Environment = MutableMapping[str, str]


def prepare_environment(
    environ: Environment | None = None, found: Cores | None = None, loaded: bool | None = None
) -> None:
    """Threads that wait without spinning, and as many as there are cores; what is set stays.

    Does nothing once torch is loaded: it would come too late, and the environment is the caller's.

    Args:
        environ: what is changed; this process's environment, which child processes inherit.
        found: the cores; measured if left out.
        loaded: whether torch is loaded.
    """
    environ = os.environ if environ is None else environ
    if "torch" in sys.modules if loaded is None else loaded:
        return
    if not any(name in environ for name in WAITING):
        environ.update(PASSIVE)
    if THREADS not in environ:
        _choose(environ, found or cores())


def share_cores(processes: int, environ: Environment | None = None) -> None:
    """From now on this process and its children take the share of one of `processes` processes.

    Where a user set the number of threads it stays; torch, once loaded, has to be told, see
    `chosen_threads`.

    Args:
        processes: how many processes divide the cores, this one among them.

    Raises:
        ValueError: `processes` below 1.
    """
    if processes < 1:
        raise ValueError(f"`processes` is {processes}; expected at least 1")
    environ = os.environ if environ is None else environ
    if processes > 1:
        found = cores()
        environ[SHARE] = str(max(1, usable_cores(environ, found) // processes))
        if is_chosen(environ):
            _choose(environ, found)


def usable_cores(environ: Environment | None = None, found: Cores | None = None) -> int:
    """Cores of this process: those it may use, or less where CROSSTASK_CORES says so."""
    environ = os.environ if environ is None else environ
    most, share = (found or cores()).usable, environ.get(SHARE, "")
    return min(most, int(share)) if share.isdigit() and int(share) else most


def process_cores(
    processes: int, environ: Environment | None = None, found: Cores | None = None
) -> int:
    """Cores of one of the `processes` processes of this machine that train one model.

    What SLURM starts has cores of its own where the job says how many a task gets.
    """
    environ = os.environ if environ is None else environ
    whole = usable_cores(environ, found)
    tasks, each = environ.get("SLURM_NTASKS", ""), environ.get("SLURM_CPUS_PER_TASK", "")
    if tasks.isdigit() and int(tasks) > 1 and each.isdigit() and int(each):
        return min(whole, int(each))
    return max(1, whole // processes)


def chosen_threads(
    processes: int = 1, environ: Environment | None = None, found: Cores | None = None
) -> int | None:
    """Threads of one of `processes` training processes; None where the user decided.

    Without the command line nothing is chosen either.
    """
    environ = os.environ if environ is None else environ
    found = found or cores()
    if not is_chosen(environ):
        return None
    return _threads(process_cores(processes, environ, found), found)


def is_chosen(environ: Environment) -> bool:
    """Whether the number of threads is the command line's choice, not the user's."""
    return THREADS in environ and environ[THREADS] == environ.get(CHOSEN)


def spins(environ: Environment | None = None) -> bool:
    """Whether waiting threads of GNU OpenMP spin, as far as the environment decides."""
    environ = os.environ if environ is None else environ
    if "GOMP_SPINCOUNT" in environ:
        return environ["GOMP_SPINCOUNT"].strip() != "0"
    return environ.get("OMP_WAIT_POLICY", "").strip().upper() != "PASSIVE"


def choose_workers(workers: Workers, accelerator: str = "cpu", processes: int = 1) -> int:
    """The number of loader processes; what a loader gives does not depend on it.

    Args:
        workers: a number, or "auto".
        accelerator: what trains; on a CPU the loader takes cores away from training.
        processes: training processes of this machine that divide its cores.

    Raises:
        ValueError: neither a number from 0 nor "auto".
    """
    if workers == "auto":
        return automatic_workers(process_cores(processes), accelerator)
    check_workers(workers)
    return workers


def check_workers(workers: object) -> None:
    """Raises ValueError for what is neither "auto" nor a number from 0."""
    number = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 0
    if workers != "auto" and not number:
        raise ValueError(f"`workers` is {workers!r}; expected auto or a number from 0")


def automatic_workers(share: int, accelerator: str = "cpu") -> int:
    """Loader processes for one training process with `share` cores.

    On a CPU one for every four cores (rendering or decoding takes less than a tenth of a step's
    arithmetic), none on a single core. With a GPU all cores but the one that drives it.
    """
    if accelerator == "cpu":
        return 0 if share == 1 else min(MOST_WORKERS, max(1, share // 4))
    return min(MOST_WORKERS, max(1, share - 1))


def choose_processes(workers: Workers, jobs: int, worth: int = 200) -> int:
    """Processes for independent jobs without training: one a core, none where there are few jobs.

    Args:
        workers: a number, or "auto".
        jobs: how many there are.
        worth: jobs from which on starting a process pays.
    """
    if workers != "auto":
        return choose_workers(workers)
    share = usable_cores()
    return 0 if share == 1 or jobs < worth else share


def whole_or_auto(text: str) -> Workers:
    """The type of an option for argparse: "auto" or a number from 0.

    Raises:
        argparse.ArgumentTypeError: neither.
    """
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}; expected auto or a number from 0")
    return "auto" if text == "auto" else int(text)


def _choose(environ: Environment, found: Cores) -> None:
    threads = _threads(usable_cores(environ, found), found)
    environ[THREADS] = environ[CHOSEN] = str(threads)


def _threads(share: int, found: Cores) -> int:
    """Threads on `share` of the usable cores, of which some may be hyper-threads."""
    return max(1, found.threads * share // found.usable)
