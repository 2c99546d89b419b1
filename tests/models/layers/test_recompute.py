"""Activation checkpointing: the same gradients, statistics and weights, fewer stored bytes."""

import copy
from collections import Counter
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from crosstask.models import create_model
from crosstask.models.exchanges.mteb import TaskExchange
from crosstask.models.layers.recompute import frozen_statistics
from crosstask.models.networks.recompute import recompute_activations

TASKS = {"segmentation": 5, "depth": 1, "normals": 3}


def losses(outputs: Mapping[str, list[Tensor]]) -> Tensor:
    return torch.stack([x.square().mean() for t in TASKS for x in outputs[t]]).sum()


@pytest.mark.parametrize(
    "name", ["densemtl", "densemtl_linear", "threeways_padnet", "mti_net", "atrc"]
)
def test_gradients_and_statistics_are_those_of_plain_training(name: str) -> None:
    torch.manual_seed(0)
    plain = create_model(name, TASKS, "test_resnet.r160_in1k", pretrained=False, width=0.125)
    saving = copy.deepcopy(plain)
    assert recompute_activations(saving)
    image = torch.rand(2, 3, 64, 64)
    for model in (plain.double(), saving.double()):
        torch.manual_seed(1)  # dropout draws the same numbers in the second pass too
        losses(model(image.double())).backward()
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), key
        assert a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12), key
    for (key, a), b in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", ["densemtl", "padnet", "fast", "mti_net", "sca_mtl", "atrc"])
def test_every_decoder_that_is_named_runs_again(name: str) -> None:
    model = create_model(name, TASKS, "test_resnet.r160_in1k", pretrained=False, width=0.125)
    calls: Counter[str] = Counter()
    decoders = {f"decoders.{task}": decoder for task, decoder in model.decoders.items()}
    for named, decoder in decoders.items():
        for part in decoder.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(lambda *_, named=named: calls.update([named]))
    found = []
    for enabled in (False, True):
        named_modules = recompute_activations(model, enabled)
        calls.clear()
        losses(model(torch.rand(2, 3, 64, 64))).backward()
        found.append(dict(calls))
    plain, saving = found
    for named in decoders:
        assert named in named_modules and saving[named] > 1.3 * plain[named], (plain, saving)


def stored_bytes(block: nn.Module, features: dict[str, Tensor]) -> int:
    """Bytes that autograd keeps between the forward and the backward pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in block.parameters()}
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        outputs = block(features)  # alive until the bytes are counted
    total = sum(kept.values())
    assert outputs
    return total


def test_directions_of_the_exchange_keep_their_inputs_only() -> None:
    exchange = TaskExchange(list(TASKS), 16, downscale=4)
    features = {task: torch.rand(1, 16, 32, 64, requires_grad=True) for task in TASKS}
    plain = stored_bytes(exchange, features)
    exchange.recompute = True
    assert stored_bytes(exchange, features) < 0.55 * plain


def test_frozen_statistics_are_not_touched_and_come_back() -> None:
    norm = nn.BatchNorm2d(2)
    x = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 2, 1, 1)
    with frozen_statistics(norm):
        result = norm(x)
    assert norm.running_mean.tolist() == [0.0, 0.0] and int(norm.num_batches_tracked) == 0
    assert result[:, 0, 0, 0].tolist() == pytest.approx([-1.0, 1.0], abs=1e-4)  # of this batch
    norm(x)
    assert norm.running_mean.tolist() == pytest.approx([0.2, 0.2])  # momentum 0.1 of the mean 2


def test_inference_recomputes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("densemtl", TASKS, "test_resnet.r160_in1k", pretrained=False, width=0.125)
    recompute_activations(model)
    monkeypatch.setattr("crosstask.models.layers.recompute.checkpoint", None)
    model.eval()(torch.rand(1, 3, 64, 64))
    with torch.no_grad():
        model.train()(torch.rand(2, 3, 64, 64))


def test_a_network_without_these_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="leave activation checkpointing out"):
        recompute_activations(nn.Linear(2, 2))
