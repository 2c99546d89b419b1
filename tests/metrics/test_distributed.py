"""Metrics of two processes, each with half of the samples, are those of one with all."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from crosstask.tasks import Depth, Edges, Normals, Saliency, Segmentation


def metrics():
    return {
        "segmentation": Segmentation(4).metric(),
        "depth": Depth(median_scaling=True).metric(),
        "normals": Normals().metric(),
        "edges": Edges().metric(boundaries=True, thresholds=3),
        "saliency": Saliency().metric(),
    }


def samples():
    torch.manual_seed(3)
    unit = torch.nn.functional.normalize
    edges = (torch.rand(4, 1, 12, 16) < 0.2).float()
    return {
        "segmentation": (torch.randint(4, (4, 6, 7)), torch.randint(4, (4, 6, 7))),
        "depth": (1 + torch.rand(4, 1, 6, 7), 1 + torch.rand(4, 1, 6, 7)),
        "normals": (unit(torch.randn(4, 3, 6, 7), dim=1), unit(torch.randn(4, 3, 6, 7), dim=1)),
        "edges": (torch.rand(4, 1, 12, 16), edges),
        "saliency": (torch.rand(4, 1, 12, 16), edges),
    }


def scores(part):
    values = {}
    data = samples()
    for name, metric in metrics().items():
        prediction, target = data[name]
        metric.update(prediction[part], target[part])
        values |= {f"{name}/{key}": float(value) for key, value in metric.compute().items()}
    return values


def _half(rank: int, address: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    values = scores(slice(0, 1) if rank == 0 else slice(1, 4))
    Path(folder, f"{rank}.json").write_text(json.dumps(values))
    dist.destroy_process_group()


def test_two_processes_give_the_values_of_one(tmp_path):
    expected = scores(slice(0, 4))
    address = f"file://{tmp_path}/store"
    mp.start_processes(_half, (address, str(tmp_path)), nprocs=2, start_method="fork")
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == pytest.approx(expected, rel=1e-12)
    assert scores(slice(0, 1)) != pytest.approx(expected, rel=1e-3)
