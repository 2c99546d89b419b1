"""Threads and loader processes from the cores; what a user sets stays."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosstask.engine import threads
from crosstask.engine.cores import Cores

FOUR = Cores(machine=64, affinity=4, physical=4)
HYPER = Cores(machine=64, affinity=16, physical=8)


def prepared(cores: Cores = FOUR, **environ: str) -> dict[str, str]:
    threads.prepare_environment(environ, cores, loaded=False)
    return environ


def test_passive_and_as_many_threads_as_cores() -> None:
    found = prepared()
    assert found["OMP_WAIT_POLICY"] == "PASSIVE" and found["GOMP_SPINCOUNT"] == "0"
    assert found["OMP_NUM_THREADS"] == "4" and threads.is_chosen(found)
    assert prepared(HYPER)["OMP_NUM_THREADS"] == "8"
    assert prepared(Cores(64, 64, 64, 2.5))["OMP_NUM_THREADS"] == "2"
    assert not threads.spins(found) and threads.spins({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "100"), ("KMP_BLOCKTIME", "200")],
)
def test_a_users_way_of_waiting_stays(name: str, value: str) -> None:
    found = prepared(**{name: value})
    assert {k: found[k] for k in threads.WAITING if k in found} == {name: value}
    assert found["OMP_NUM_THREADS"] == "4"


def test_a_users_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(OMP_NUM_THREADS="3")
    assert found["OMP_NUM_THREADS"] == "3" and not threads.is_chosen(found)
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert threads.chosen_threads(2, found, FOUR) is None
    monkeypatch.setattr(threads, "cores", lambda: FOUR)
    threads.share_cores(2, found)
    assert found["OMP_NUM_THREADS"] == "3" and threads.usable_cores(found) == 2


def test_nothing_is_touched_once_torch_is_loaded() -> None:
    environ: dict[str, str] = {}
    threads.prepare_environment(environ, FOUR, loaded=True)
    assert not environ


def test_a_child_process_keeps_its_parents_choice() -> None:
    found = prepared()
    again = dict(found)
    threads.prepare_environment(again, HYPER, loaded=False)
    assert again == found


@pytest.mark.parametrize(
    ("cores", "on_cpu", "on_gpu"),
    [(1, 0, 1), (2, 1, 1), (3, 1, 2), (4, 1, 3), (8, 2, 7), (16, 4, 8), (64, 8, 8)],
)
def test_automatic_workers(cores: int, on_cpu: int, on_gpu: int) -> None:
    assert threads.automatic_workers(cores, "cpu") == on_cpu
    assert threads.automatic_workers(cores, "cuda") == on_gpu


def test_processes_divide_the_cores() -> None:
    found = prepared()
    assert [threads.process_cores(n, found, FOUR) for n in (1, 2, 4, 8)] == [4, 2, 1, 1]
    assert [threads.chosen_threads(n, found, FOUR) for n in (1, 2, 4, 8)] == [4, 2, 1, 1]
    found = prepared(HYPER)
    assert [threads.chosen_threads(n, found, HYPER) for n in (1, 2, 4, 16)] == [8, 4, 2, 1]


def test_tasks_of_slurm_have_cores_of_their_own() -> None:
    job = {"SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "3"}
    assert threads.process_cores(4, job, FOUR) == 3
    assert threads.process_cores(4, job | {"SLURM_NTASKS": "1"}, FOUR) == 1  # Lightning divides


def test_a_study_takes_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: HYPER)
    found = prepared(HYPER)
    threads.share_cores(1, found)
    assert found["OMP_NUM_THREADS"] == "8" and threads.SHARE not in found
    threads.share_cores(4, found)
    assert threads.usable_cores(found) == 4 and found["OMP_NUM_THREADS"] == "2"
    assert threads.chosen_threads(1, found) == 2 and threads.chosen_threads(2, found) == 1
    with pytest.raises(ValueError, match="at least 1"):
        threads.share_cores(0, found)


def test_cores_that_the_user_grants() -> None:
    assert prepared(CROSSTASK_CORES="2")["OMP_NUM_THREADS"] == "2"
    assert threads.usable_cores({"CROSSTASK_CORES": "99"}, FOUR) == 4
    for nonsense in ("0", "-1", "many", ""):
        assert threads.usable_cores({"CROSSTASK_CORES": nonsense}, FOUR) == 4


def test_chosen_and_given_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: HYPER)
    monkeypatch.delenv("CROSSTASK_CORES", raising=False)
    assert threads.choose_workers("auto") == 4 and threads.choose_workers("auto", "cuda") == 8
    assert threads.choose_workers("auto", "cpu", 8) == 1
    assert threads.choose_workers("auto", "cpu", 16) == 0
    assert threads.choose_workers(0) == 0 and threads.choose_workers(99, "cpu", 8) == 99
    with pytest.raises(ValueError, match="`workers` is -1; expected auto or a number from 0"):
        threads.choose_workers(-1)
    for wrong in (-1, "2", 1.5, True, None):
        with pytest.raises(ValueError, match="expected auto or a number from 0"):
            threads.check_workers(wrong)


def test_processes_for_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSTASK_CORES", raising=False)
    monkeypatch.setattr(threads, "cores", lambda: FOUR)
    assert threads.choose_processes("auto", 10) == 0
    assert threads.choose_processes("auto", 1000) == 4
    assert threads.choose_processes(3, 10) == 3
    monkeypatch.setattr(threads, "cores", lambda: Cores(1, 1, 1))
    assert threads.choose_processes("auto", 1000) == 0


def test_whole_or_auto() -> None:
    assert threads.whole_or_auto("auto") == "auto" and threads.whole_or_auto("12") == 12
    for wrong in ("-1", "two", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected auto"):
            threads.whole_or_auto(wrong)


# Ends at the first import of torch, with 0 where the environment was ready by then.
LOOK = """
import builtins, os, sys
plain = builtins.__import__
def watching(name, *rest, **options):
    if name.split(".")[0] == "torch":
        ready = os.environ.get("OMP_WAIT_POLICY") == "PASSIVE" and os.environ.get("OMP_NUM_THREADS")
        os._exit(0 if ready else 3)
    return plain(name, *rest, **options)
builtins.__import__ = watching
"""


@pytest.mark.parametrize(
    "run",
    [
        "from crosstask.cli import main\nmain()",
        "from crosstask.cli.main import main\nmain()",
        "import runpy\ntry: runpy.run_module('crosstask', run_name='__main__')\nexcept SystemExit: pass",
        "import runpy\ntry: runpy.run_module('crosstask.cli', run_name='__main__')\nexcept SystemExit: pass",
    ],
    ids=["script", "main", "package", "module"],
)
def test_the_command_line_decides_before_torch_is_loaded(run: str, tmp_path: Path) -> None:
    code = f"{LOOK}\nsys.argv = ['crosstask', 'doctor']\n{run}\nsys.exit(4)"
    unset = (*threads.WAITING, threads.THREADS, threads.CHOSEN)
    environ = {k: v for k, v in os.environ.items() if k not in unset}
    result = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_importing_the_library_leaves_the_environment_alone() -> None:
    code = (
        "import os; before = dict(os.environ); import crosstask, crosstask.cli, crosstask.engine.threads\n"
        "import sys; assert dict(os.environ) == before and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
