"""Two processes on one machine, through Lightning's own launcher."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import Dataset

from crosstask.data.combine.skip import SkipBad
from crosstask.data.sample import DataError
from crosstask.engine.metrics_file import read_rows
from crosstask.engine.processes import ProcessWatch
from fakes import two_processes


class Damaged(Dataset[dict[str, Any]]):
    """Five samples, one of which cannot be read; another one in each process."""

    def __init__(self, bad: int) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.bad:
            raise DataError(f"sample {index} is damaged")
        return {"index": index}


def _skip(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    skipping = SkipBad(Damaged(bad=1 + 2 * rank))
    assert [skipping[i]["index"] for i in range(5)].count(1 + 2 * rank) == 0
    skipping.gather("cpu")
    torch.save(skipping.skipped, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:skipped sample:RuntimeWarning")
def test_every_process_learns_what_the_others_skipped(tmp_path: Path) -> None:
    mp.start_processes(_skip, (str(tmp_path),), nprocs=2, start_method="fork")
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [[1, 3], [1, 3]]


def test_two_processes_train_validate_and_resume(tmp_path: Path) -> None:
    """Five validation scenes on two processes: every one counts once."""
    command = [
        sys.executable, "-m", "crosstask", "train", "procedural.supervised", "--run", str(tmp_path / "run"),
        "--encoder", "resnet10t", "--width", "0.0625", "--size", "32x64", "--tasks", "segmentation,depth",
        "--train-length", "8", "--val-length", "5", "--batch-size", "1", "--workers", "0", "--quiet",
        "--steps", "2", "--val-every", "1", "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    last = [
        float(line.rsplit(",", 1)[1])
        for line in (tmp_path / "run/metrics.csv").read_text().splitlines()
        if ",val/depth/rmse," in line
    ]
    # Validation over two processes gave what one process gives for the same weights.
    assert any(abs(value - metrics["depth/rmse"]) < 1e-4 for value in last)
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=500)
    assert again.returncode == 0, again.stderr[-3000:]
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2


def command_for(folder: Path, processes: int, steps: int, batch: int) -> dict[str, Any]:
    folder.mkdir()
    return {
        "args": [
            sys.executable, "-m", "fakes.two_processes", str(folder), str(processes), str(steps), str(batch)
        ],
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", *sys.path])},
        "stderr": subprocess.PIPE,
        "text": True,
    }  # fmt: skip


def test_a_step_of_two_processes_is_the_step_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Gradients, losses as written, and metrics; labels are missing in some images."""
    done = subprocess.run(**command_for(tmp_path / "two", 2, 2, 1), timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "one").mkdir()
    with pytest.MonkeyPatch.context() as patch:  # put back what the program changes
        patch.setattr(
            two_processes.Regime,
            "on_before_optimizer_step",
            two_processes.Regime.on_before_optimizer_step,
        )
        two_processes.run(tmp_path / "one", 1, 2, 2)
    for step in (0, 1):
        two, one = (torch.load(tmp_path / name / f"gradients_{step}.pt") for name in ("two", "one"))
        assert two.keys() == one.keys() and any(value.abs().max() > 1e-3 for value in one.values())
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=f"{step} {name}")
    two, one = (
        {(at, name): value for at, name, value in read_rows(tmp_path / n / "run/metrics.csv")}
        for n in ("two", "one")
    )
    assert two.keys() == one.keys()
    assert {(0, "train/loss"), (1, "train/loss/depth"), (2, "val/normals/median")} <= one.keys()
    for key, value in one.items():
        assert two[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key


@contextlib.contextmanager
def two_that_train(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """(the first process, the other's id), while they train without an end."""
    process = subprocess.Popen(**command_for(tmp_path / "two", 2, 10**6, 1))
    others: list[int] = []
    try:
        until = time.monotonic() + 300
        while not (tmp_path / "two/run/checkpoints/last.ckpt").is_file():
            assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
            time.sleep(0.2)
        others += map(
            int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        )
        assert len(others) == 1
        yield process, others[0]
    finally:
        for number in (process.pid, *others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the other process in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_when_a_process_dies_the_other_says_so_and_ends(tmp_path: Path, rank: int) -> None:
    with two_that_train(tmp_path) as (first, other):
        os.kill(other if rank else first.pid, signal.SIGKILL)
        said = first.communicate(timeout=30)[1]  # until both have closed it
        if rank:
            assert (
                f"error: process 1 (PID {other}) was ended by SIGKILL: the system may have" in said
            )
            assert first.returncode == 1
        else:
            assert (
                f"error: process 0 (PID {first.pid}), which started the others, has ended" in said
            )
        assert "Run the same command with --resume" in said
        assert "Traceback" not in said


class Stuck:
    """A process that has ended, beside one that waits for it for ever."""

    def __init__(self, code: int) -> None:
        self.procs = [subprocess.Popen([sys.executable, "-c", f"import os; os._exit({code})"])]
        self.procs[0].wait()


def test_errors_of_this_process_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    watch = ProcessWatch(Stuck(3), "Go on.")
    assert watch.explain(ValueError("mine")) is None
    assert watch.explain(NotImplementedError("mine")) is None
    explained = watch.explain(RuntimeError("Connection closed by peer"))
    assert explained is not None and "exit code 3" in str(explained) and "Go on." in str(explained)


def test_a_process_that_waits_for_ever_is_ended(tmp_path: Path) -> None:
    """NCCL waits for minutes for a process that has died."""
    program = (
        "import threading, time; from crosstask.engine import processes; "
        "from test_processes import Stuck; processes.GRACE = 0.2; "
        "w = processes.ProcessWatch(Stuck(3), 'Go on.'); "
        "threading.Thread(target=w.watch, daemon=True).start(); time.sleep(300)"
    )
    paths = [str(Path(__file__).parent), "tests", *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "has ended with exit code 3" in done.stderr
