"""Parameters and operations in the form in which the published tables have them."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from crosstask.models.registry import create_model

SD = {"segmentation": 40, "depth": 1}
SDNE = {**SD, "normals": 3, "edges": 1}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(name: str, tasks: dict[str, int], **options) -> nn.Module:
    with torch.device("meta"):
        return create_model(name, tasks, pretrained=False, **options)


class _Counter(TorchDispatchMode):
    """Multiply-accumulates of convolutions and matrix products, and small change.

    The tables were made with a counter that adds 2 for each normalised element and 4 for each
    resized one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        first = result[0] if isinstance(result, tuple) else result
        name = str(func)
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **kwargs, out_val=result) // 2
        elif "batch_norm" in name or "layer_norm" in name:
            self.total += 2 * first.numel()
        elif "upsample" in name:
            self.total += 4 * first.numel()
        return result


def published_macs(model: nn.Module, size: tuple[int, int]) -> tuple[float, dict]:
    """In units of 1e9; and the outputs."""
    with torch.no_grad(), _Counter() as counter:
        outputs = model.eval()(torch.zeros(1, 3, *size, device="meta"))
    return counter.total / 1e9, outputs
