"""`crosstask train` end to end: signals to the whole process group."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch


def command(run: Path, **options: object) -> list[str]:
    """A training of a tiny network on tiny streets."""
    settings: dict[str, object] = {
        "run": run, "encoder": "resnet10t", "width": 0.0625, "size": "32x64", "tasks": "segmentation,depth",
        "train-length": 4, "val-length": 2, "batch-size": 2, "workers": 0, "steps": 2, "val-every": 1,
        "accelerator": "cpu", "precision": 32,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in (settings | options).items()]
    return ["train", "procedural.supervised", "--quiet", *given]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="loaders fork")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_process_group_saves(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As a terminal sends Ctrl-C, and a cluster SIGTERM: loader processes get it too."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "crosstask", *command(run, workers=2, steps=10**6, **{"val-every": 2})],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 300
        while not (run / "checkpoints/last.ckpt").is_file():
            assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
            time.sleep(0.1)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=200)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code, said
    assert "continue with --resume" in said and "Traceback" not in said
    step = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert step >= 2 and f"stopped at step {step} of 1000000" in said
    assert not list(run.rglob("*.part"))
