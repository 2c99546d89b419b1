"""Two processes on one machine, through Lightning's own launcher."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import Dataset

from crosstask.data.combine.skip import SkipBad
from crosstask.data.sample import DataError


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
