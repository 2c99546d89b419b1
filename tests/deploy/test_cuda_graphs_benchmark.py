"""`benchmarks/cuda_graphs.py` runs, as far as that shows without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "cuda_graphs.py"


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True, timeout=300)  # fmt: skip


def test_a_dry_run_writes_its_table(tmp_path: Path) -> None:
    done = run("--dry-run", "--steps", "6", "--output", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert row["differ"] == 0 and row["ms"] > 0 and row["replayed_ms"] > 0
    assert done.stdout.splitlines()[-1].startswith("| densemtl | 32x64 | 1 | 32 |")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 2 and "--dry-run" in done.stderr and "Traceback" not in done.stderr
