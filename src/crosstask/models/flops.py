"""Parameters and multiply-accumulates by part, counted without computing anything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from crosstask.models.exchanges.base import Exchange
from crosstask.models.networks.scene_network import SceneNetwork


def count_macs(
    model: nn.Module, size: tuple[int, int], as_run: bool = False
) -> dict[str, dict[str, int]]:
    """Parameters and multiply-accumulates of one image, by part and in total.

    Counts convolutions and matrix products, those of fused attention included (a
    multiply-accumulate is two floating point operations); biases, norms, activations, resizing and
    pooling are left out, as is usual. The network runs on shapes only (the meta device).

    Args:
        model: any network here; left as it was.
        size: height and width of the image.
        as_run: False counts the equations as they are written, comparable with published numbers;
            True counts what runs, after savings that do not change the result (see
            `Exchange.economical`).

    Returns:
        ``{part: {"parameters": ..., "macs": ...}}`` with parts ``encoder``, ``decoders``,
        ``exchanges``, ``heads`` (prediction layers), other modules by their own name where there
        are any, and ``total``.
    """
    labels = {name: part_of(name) for name, _ in model.named_modules()}
    parts: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        counts = parts.setdefault(part_of(name), {"parameters": 0, "macs": 0})
        counts["parameters"] += parameter.numel()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    counter = _Counter()
    with (
        _labelled(model, labels, counter),
        _evaluating(model, as_run),
        torch.no_grad(),
        counter,
    ):
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        channels = model.in_channels if isinstance(model, SceneNetwork) else 3
        functional_call(model, shapes, (torch.empty(1, channels, *size, device="meta"),))
    for part, flops in counter.flops.items():
        parts.setdefault(part, {"parameters": 0, "macs": 0})["macs"] += flops // 2
    first = [part for part in ("encoder", "decoders", "exchanges", "heads") if part in parts]
    table = {part: parts[part] for part in dict.fromkeys([*first, *parts])}
    table["total"] = {
        key: sum(counts[key] for counts in table.values()) for key in ("parameters", "macs")
    }
    return table


def part_of(name: str) -> str:
    """The part that a module or parameter belongs to, by its dotted name."""
    names = name.split(".")
    if names[0] == "networks" and len(names) > 2:
        names = names[2:]
    if any(word in ("predictions", "heads") for word in names):
        return "heads"
    return names[0]


class _Counter(TorchDispatchMode):
    """Adds up floating point operations under the label of the innermost labelled module."""

    def __init__(self) -> None:
        super().__init__()
        self.flops: dict[str, int] = {}
        self.stack: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            count = flop_registry[packet](*args, **kwargs, out_val=result)
            part = self.stack[-1] if self.stack else "other"
            self.flops[part] = self.flops.get(part, 0) + int(count)
        return result


@contextmanager
def _labelled(model: nn.Module, labels: dict[str, str], counter: _Counter) -> Iterator[None]:
    """While active, running a module puts its label on the counter's stack."""
    handles = []
    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(_pusher(counter, labels[name])))
            handles.append(module.register_forward_hook(_popper(counter)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _pusher(counter: _Counter, label: str) -> Callable[..., None]:
    return lambda module, args: counter.stack.append(label)


def _popper(counter: _Counter) -> Callable[..., None]:
    def pop(module: nn.Module, args: Any, output: Any) -> None:
        counter.stack.pop()

    return pop


@contextmanager
def _evaluating(model: nn.Module, as_run: bool) -> Iterator[None]:
    """Evaluation mode, and the plain or the economical way to run, for a while."""
    training = {module: module.training for module in model.modules()}
    exchanges = [module for module in model.modules() if isinstance(module, Exchange)]
    economical = [module.economical for module in exchanges]
    try:
        model.eval()
        for exchange in exchanges:
            exchange.economical = as_run
        yield
    finally:
        for module, was in training.items():
            module.training = was
        for exchange, value in zip(exchanges, economical, strict=True):
            exchange.economical = value
