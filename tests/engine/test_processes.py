"""Two processes on one machine, through Lightning's own launcher."""

import json
import subprocess
import sys
from pathlib import Path

import torch


def test_two_processes_train_validate_and_resume(tmp_path: Path) -> None:
    """Five validation scenes on two processes: every one counts once."""
    command = [
        sys.executable, "-m", "crosstask.cli", "train", "procedural.supervised", "--run", str(tmp_path / "run"),
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
