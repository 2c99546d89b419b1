"""On real networks: summing the tasks' gradients is what an ordinary backward pass does."""

import pytest
import torch
from torch import Tensor, nn

from crosstask.balancing import create_balancer
from crosstask.balancing.torchjd.adapters import TorchJDAggregator
from crosstask.balancing.torchjd.library import torchjd_part
from crosstask.models import create_model, list_models
from crosstask.tasks import Depth, Normals, Segmentation, Task, paper_weights

TASKS: tuple[Task, ...] = (Segmentation(3), Depth(), Normals())
# Networks without shared parameters, or with frozen ones, have nothing to balance.
NAMES = [
    name for name in list_models() if not name.startswith("single_task") and name != "linear_probe"
]


def network(name: str) -> nn.Module:
    model = create_model(name, TASKS, encoder="resnet10t", pretrained=False, width=0.125)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return model.train()


def losses(model: nn.Module) -> dict[str, Tensor]:
    outputs = dict(model(torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))))
    outputs.pop("auxiliary", None)
    return {
        name: torch.stack([level.square().mean() for level in levels]).mean()
        for name, levels in outputs.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_sum_equals_plain_backward(name: str) -> None:
    model = network(name)
    shared = [p for p in model.encoder.parameters() if p.requires_grad]
    weights = paper_weights(TASKS)
    method = torchjd_part("aggregation").Sum()
    balancer = TorchJDAggregator(method, [t.name for t in TASKS], weights)
    values = losses(model)
    sum(weights[k] * v for k, v in values.items()).backward(retain_graph=True)
    expected = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    assert any(k.startswith("encoder.") for k in expected)
    model.zero_grad()
    balancer.backward(balancer.combine(values), values, shared)
    balancer.finish(shared)
    for key, parameter in model.named_parameters():
        if key in expected:
            scale = float(expected[key].abs().max())
            assert float((parameter.grad - expected[key]).abs().max()) <= 1e-4 * scale + 1e-7, key


def test_another_aggregator_changes_the_encoder_and_nothing_else() -> None:
    model = network("densemtl")
    shared = [p for p in model.encoder.parameters() if p.requires_grad]
    grads = []
    for name in ("paper", "mgda"):
        balancer = create_balancer(name, TASKS)
        model.zero_grad()
        values = losses(model)
        balancer.backward(balancer.combine(values), values, shared)
        balancer.finish(shared)
        grads.append({k: p.grad.clone() for k, p in model.named_parameters()})
    plain, mgda = grads
    for key in plain:
        same = torch.allclose(plain[key], mgda[key], rtol=1e-4, atol=1e-6)
        assert same != key.startswith("encoder.") or float(plain[key].abs().max()) < 1e-6, key


def test_gradients_stay_float32_under_bf16() -> None:
    model = network("multi_task")
    shared = [p for p in model.encoder.parameters() if p.requires_grad]
    for name in ("gradnorm", "mgda"):
        balancer = create_balancer(name, TASKS)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            values = {k: v.float() for k, v in losses(model).items()}
        balancer.backward(balancer.combine(values), values, shared)
        balancer.finish(shared)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads and all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)
