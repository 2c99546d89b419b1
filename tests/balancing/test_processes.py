"""Two processes that share a batch end where one process with the whole batch ends."""

import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crosstask.balancing import create_balancer
from crosstask.tasks import Depth, Segmentation

METHODS = ("paper", "uncertainty", "gradnorm", "mgda", "pcgrad", "dwa:epoch=1", "imtl_l")


class TwoTasks(nn.Module):
    """What a regime is to its trainer: a batch in, the balanced total out."""

    def __init__(self, method: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)])
        self.balancer = create_balancer(method, (Segmentation(2), Depth()))
        self.last: dict[str, Tensor] = {}

    def forward(self, x: Tensor, y: Tensor, whole: int, parts: int) -> Tensor:
        features = self.encoder(x)
        errors = [(h(features) - y[:, i : i + 1]).square().sum() for i, h in enumerate(self.heads)]
        self.last = {
            "segmentation": errors[0] * parts / whole,
            "depth": errors[1] * parts / whole,
        }
        return self.balancer.combine(self.last)


def train(method: str, rank: int, parts: int) -> dict[str, Tensor]:
    """Four steps on this process's part of each batch of six; gives the state it ends with."""
    model = TwoTasks(method)
    wrapped = DistributedDataParallel(model) if parts > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(1)
    for number in range(4):
        x, y = torch.randn(6, 3, generator=generator), torch.randn(6, 2, generator=generator)
        y[3:, 1] *= 5  # the parts have unequal losses
        mine = slice(rank * 6 // parts, (rank + 1) * 6 // parts)
        optimizer.zero_grad()
        total = wrapped(x[mine], y[mine], 6, parts)
        shared = list(model.encoder.parameters())
        model.balancer.backward(total, model.last, shared)
        torch.manual_seed(100 * number + 7 * rank)  # PCGrad draws an order of the tasks
        model.balancer.finish(shared)
        optimizer.step()
    return {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}


def work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save({m: train(m, rank, 2) for m in METHODS}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    start = TwoTasks("paper").state_dict()
    for method in METHODS:
        alone = train(method, 0, 1)
        assert not torch.allclose(alone["encoder.0.weight"], start["encoder.0.weight"])
        for name, value in alone.items():
            torch.testing.assert_close(first[method][name], second[method][name], rtol=0, atol=0)
            torch.testing.assert_close(first[method][name], value, rtol=2e-4, atol=2e-5)
