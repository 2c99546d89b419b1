"""Optimised inference."""

import pytest
import torch
from torch import nn

from crosstask.deploy.optimize import Optimized, fold_batch_norms, optimize
from crosstask.models import create_model
from fakes.scenes import scene_tasks


def network(name: str = "densemtl") -> nn.Module:
    torch.manual_seed(0)
    made = create_model(name, scene_tasks(), encoder="resnet10t", pretrained=False, width=0.0625)
    for module in made.modules():  # statistics that folding must not lose
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.1)
    for parameter in (p for n, p in made.named_parameters() if n.endswith("alpha")):
        nn.init.normal_(parameter)
    return made.eval()


@pytest.mark.parametrize("name", ["densemtl", "multi_task", "padnet"])
def test_optimised_outputs_are_the_same(name: str) -> None:
    made = network(name)
    fast = optimize(made, dtype=torch.float32)
    image = torch.rand(2, 3, 40, 70)
    with torch.no_grad():
        expected, found = made(image), fast(image)
    for task, outputs in expected.items():
        assert len(found[task]) == 1
        assert torch.allclose(found[task][0], outputs[-1], atol=1e-4)
    before = sum(type(m) is nn.BatchNorm2d for m in made.modules())
    after = sum(type(m) is nn.BatchNorm2d for m in fast.modules())
    assert after < before / 2
    assert all(not p.requires_grad for p in fast.parameters())


def test_cuda_graphs_are_refused_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="needs the network on a GPU"):
        optimize(network(), cuda_graphs=True)


def test_cuda_graphs_own_their_answers_no_longer_than_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the graph returns lies in memory that its next call overwrites; ours must not."""
    memory, asked = torch.zeros(1, 1, 4, 4), {}

    class Graph(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"depth": [memory.copy_(image[:, :1])]}

    def compiled(module: nn.Module, **settings: object) -> nn.Module:
        asked.update(settings)
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    fast = Optimized(Graph(), torch.float32, channels_last=True, cuda_graphs=True)
    first = fast(torch.ones(1, 3, 4, 4))["depth"][0]
    fast(torch.zeros(1, 3, 4, 4))
    assert bool((first == 1).all()) and asked == {"mode": "reduce-overhead", "fullgraph": True}


def test_folding_by_hand() -> None:
    """y = 3 x through the convolution, then (y - 1) / 2 * 4 + 5 through the norm."""
    pair = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)).eval()
    pair[0].weight.data.fill_(3.0)
    pair[1].running_mean.fill_(1.0)
    pair[1].running_var.fill_(4.0)
    pair[1].weight.data.fill_(4.0)
    pair[1].bias.data.fill_(5.0)
    assert fold_batch_norms(pair) == 1
    assert pair(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(15.0)


def test_a_norm_that_does_not_follow_its_neighbour_is_refused() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            nn.init.constant_(self.bn1.running_mean, 0.3)

        def forward(self, x: torch.Tensor) -> dict:
            return {"depth": [self.conv1(self.bn1(x).relu())]}

    with pytest.raises(ValueError, match="folding batch norms changed `depth`"):
        optimize(Crossed().eval(), dtype=torch.float32)


class Rounded(nn.Module):
    """As on a GPU with TF32: convolutions with rounded numbers, until it is moved to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)
        self.last, self.rough = nn.Conv2d(64, 1, 3), True
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def to(self, *args: object, **settings: object) -> nn.Module:
        self.rough = torch.device("cpu") not in args
        return self

    def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        weights = {n: self.rounded(p) for n, p in self.named_parameters()}
        x = torch.conv2d(self.rounded(image), weights["conv1.weight"], weights["conv1.bias"])
        x = self.rounded(self.bn1(x).relu())
        return {"depth": [torch.conv2d(x, weights["last.weight"], weights["last.bias"])]}

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        return (x.bfloat16() if self.rough else x).float()


def test_folding_is_checked_in_full_precision() -> None:
    """Neither the rounding of the device nor autocast around the call may refuse a network."""
    optimize(Rounded().eval(), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        optimize(network(), dtype=torch.float32)


def test_folding_that_gives_no_number_is_refused() -> None:
    made = network("multi_task")
    next(made.parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match="folding batch norms changed `segmentation` by nan"):
        optimize(made, dtype=torch.float32)


def test_cuda_graphs_take_more_networks_than_torch_keeps_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten networks share the code of one class; torch stops at eight versions of it."""

    class Small(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.last = nn.Conv2d(3, channels, 1)

        def forward(self, image: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"depth": [self.last(image)]}

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda n, **_: whole(n, backend="eager", fullgraph=True))
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=8):  # monkeypatch would delete it afterwards
        for channels in range(1, 11):
            fast = Optimized(Small(channels), torch.float32, channels_last=False, cuda_graphs=True)
            assert fast(torch.rand(1, 3, 32, 32))["depth"][0].shape[1] == channels
