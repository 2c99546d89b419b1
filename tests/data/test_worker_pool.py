"""Work in several processes: in order, bounded, and over when the program is."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from crosstask.data.sample import DataError
from crosstask.data.worker_pool import WorkerPool, in_workers


def double(x: int) -> int:
    return 2 * x


def failing(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def dying(x: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return x


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pid: int) -> bool:
    for _ in range(100):
        if not alive(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [0, 2])
def test_results_come_in_order_and_errors_as_they_are(number):
    assert list(in_workers(double, range(9), number)) == [2 * x for x in range(9)]
    found = in_workers(failing, range(9), number)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        list(found)


def test_a_few_items_are_taken_ahead_and_a_killed_process_is_told():
    taken = []

    def items():
        for x in range(100):
            taken.append(x)
            yield x

    found = in_workers(double, items(), 1)
    next(found)
    assert len(taken) == 3
    found.close()
    with pytest.raises(DataError, match=r"ended from outside.*memory.*--workers"):
        list(in_workers(dying, range(4), 1))


class Opened:
    """As a reader of a store: opening it takes long, and is not pickled."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__ = state
        if self.log.name == "none":
            raise DataError("the store is gone")
        with self.log.open("a") as file:
            file.write("opened\n")

    def __call__(self, x: int) -> int:
        return x


def test_what_a_function_holds_is_opened_once_a_process(tmp_path):
    log = tmp_path / "log"
    assert list(in_workers(Opened(log), range(12), 2)) == [*range(12)]
    assert 1 <= len(log.read_text().splitlines()) <= 2
    with pytest.raises(DataError, match="the store is gone"):
        list(in_workers(Opened(tmp_path / "none"), range(3), 1))


def test_an_exception_in_the_block_ends_the_processes_at_once():
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), WorkerPool(1) as pool:
        pid = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 300)
        raise KeyboardInterrupt
    assert wait_for_end(pid)
    assert time.monotonic() - begun < 250


class Interrupted(Future):
    """A call that is done, and while that is asked Ctrl-C comes."""

    passed = False

    def done(self) -> bool:
        signal.raise_signal(signal.SIGINT)
        self.passed = True  # not reached where the signal takes effect at once
        return True


def test_a_signal_waits_for_what_the_executor_does():
    inherited = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored under `nohup` or `&`
    try:
        call = Interrupted()
        call.set_result(0)
        with pytest.raises(KeyboardInterrupt), WorkerPool(1) as pool:
            pool.result(call)
        assert call.passed and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, inherited)


STOPPED = """
import signal
import time
from crosstask.data.worker_pool import in_workers
from crosstask.engine.interruption import Stopped, stopping_at_once

def slow(x):
    time.sleep(x)
    return x

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts `program &` without it
    try:
        with stopping_at_once():
            print("begun", flush=True)
            for x in in_workers(slow, [0, 0, 300, 300, 300, 300, 300, 300], 2):
                print(x, flush=True)
    except (KeyboardInterrupt, Stopped):
        print("stopped", flush=True)
        raise SystemExit(7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are shielded on Linux alone")
@pytest.mark.parametrize(("number", "started"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_signal_to_the_group_ends_the_program(number, started, tmp_path):
    """As Ctrl-C in a terminal, `timeout` or a cluster: also while processes are still starting."""
    script = tmp_path / "work.py"
    script.write_text(STOPPED)
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    if started:
        assert program.stdout.readline() == "0\n"
    else:  # the pool starts them after `begun`; they are far from ready for some seconds
        time.sleep(0.5)
    os.killpg(program.pid, number)
    try:
        out, errors = program.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        pytest.fail(f"the program did not end: {program.communicate()}")
    assert program.returncode == 7 and out.endswith("stopped\n"), errors
    assert "Traceback" not in errors, errors


SHIELDED = """
import signal
from torch.utils.data import Dataset
from crosstask.data.loading import Loader

class Held(Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return str(sorted(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())))

if __name__ == "__main__":
    print(*Loader(Held(), batch_size=None, num_workers=2, multiprocessing_context="spawn"), sep="\\n")
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are shielded on Linux alone")
def test_fresh_loader_processes_are_born_with_both_signals_held(tmp_path):
    """In a program of its own: the first fresh process of a program is the one that could miss it."""
    script = tmp_path / "held.py"
    script.write_text(SHIELDED)
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    held = str([int(signal.SIGINT), int(signal.SIGTERM)])
    assert found.stdout.splitlines() == [held, held, "set()"], found.stderr
