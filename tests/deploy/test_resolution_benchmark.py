"""`benchmarks/resolution.py`: what a coarser stride costs at best."""

import subprocess
import sys
from pathlib import Path

import torch

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "resolution.py"


def test_a_coarser_stride_costs_more_and_a_larger_image_less() -> None:
    command = [sys.executable, str(PROGRAM), "--sizes", "32x64", "64x128", "--scenes", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    found = {(size, stride): (float(miou), float(rmse)) for size, stride, miou, rmse in rows}
    assert len(found) == 4
    for size in ("32x64", "64x128"):
        assert found[size, "4"][0] < found[size, "2"][0] < 100
        assert found[size, "4"][1] > found[size, "2"][1] > 0
    assert found["64x128", "4"][0] > found["32x64", "4"][0]


def test_flat_labels_and_depth_pass_unchanged(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import resolution

    labels = torch.full((8, 16), 3)
    assert torch.equal(resolution.classes_through(labels, 4), labels)
    depth = torch.full((1, 1, 8, 16), 5.0)
    depth[..., :3] = 0  # unknown pixels do not count
    assert torch.allclose(resolution.depth_through(depth, 4)[..., 4:], torch.tensor(5.0))
