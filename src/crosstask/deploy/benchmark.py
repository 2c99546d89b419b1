"""Speed and memory of networks, measured in turns in one process so that ratios hold."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from crosstask.deploy.peak_memory import peak_memory
from crosstask.models.flops import part_of
from crosstask.tasks import Depth, Edges, Normals, Segmentation

Step = Callable[[], Any]


PARTS = ("encoder", "decoders", "exchanges", "heads")


@dataclass
class Variant:
    """One thing to time.

    Attributes:
        name: what the table calls it.
        network: for the parts; None where there are none.
        step: one repetition.
        images: images of one repetition.
        memory: whether its memory can be told: not from outside of a compiled step on a CPU, nor of
            a replayed CUDA graph, which keeps its memory between steps.
    """

    name: str
    step: Step
    network: nn.Module | None = None
    images: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    memory: bool = True


def measure(
    variants: Sequence[Variant],
    *,
    rounds: int = 10,
    warmup: int = 2,
    device: str | torch.device = "cpu",
) -> list[dict[str, Any]]:
    """Times all variants in turns; the first is the reference of `ratio`.

    Returns:
        One record a variant: latency median and p90 (ms), images a second, ratio (reference time
        over this time, the median of the rounds' ratios), peak memory (MB, see `peak_memory`; None
        where it cannot be told), time of the forward pass by part (ms, see `PARTS`).

    Raises:
        ValueError: fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"`rounds` is {rounds}; expected at least 1")
    device = torch.device(device)
    times: list[list[float]] = [[] for _ in variants]
    parts: list[dict[str, list[float]]] = [{} for _ in variants]
    for variant in variants:
        for _ in range(warmup):
            variant.step()
    for _ in range(rounds):
        for variant, own, by_part in zip(variants, times, parts, strict=True):
            own.append(_time_with_parts(variant, by_part, device))
    memory = [peak_memory(v.step, device) / 2**20 if v.memory else None for v in variants]
    return [
        {
            "name": v.name,
            "median_ms": 1e3 * statistics.median(own),
            "p90_ms": 1e3 * float(numpy.quantile(own, 0.9)),
            "images_per_second": v.images / statistics.median(own),
            "ratio": statistics.median(a / b for a, b in zip(times[0], own, strict=True)),
            "memory_mb": peak,
            "parts_ms": {k: 1e3 * statistics.median(t) for k, t in by_part.items()},
            **v.facts,
        }
        for v, own, by_part, peak in zip(variants, times, parts, memory, strict=True)
    ]


def _wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    else:
        torch.get_device_module(device).synchronize()


def _time(step: Step, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - start


def _time_with_parts(variant: Variant, into: dict[str, list[float]], device: torch.device) -> float:
    """One repetition; on a CPU its parts as well, elsewhere those of another one.

    Timing parts waits for the device at each of them, which would slow the whole.
    """
    if variant.network is None:
        return _time(variant.step, device)
    if device.type == "cpu":
        with _timed_parts(variant.network, into, device):
            return _time(variant.step, device)
    whole = _time(variant.step, device)
    with _timed_parts(variant.network, into, device):
        variant.step()
    return whole


class _timed_parts:
    """Time of `PARTS` in one forward pass, through hooks that wait for the device.

    A part that runs inside another counts for itself only, and what is no other part counts as
    decoders, so that parts add up to the forward pass. What runs outside of it, as a second pass
    of checkpointed parts in the backward pass does, is not counted.
    """

    def __init__(
        self, network: nn.Module, into: dict[str, list[float]], device: torch.device
    ) -> None:
        self.network, self.into, self.device = network, into, device
        self.handles: list[Any] = []
        self.sums: dict[str, float] = {}
        self.running: list[str] = []
        self.last = 0.0

    def __enter__(self) -> None:
        for part, module in [("decoders", self.network), *_watched(self.network)]:
            self.handles.append(module.register_forward_pre_hook(self._start(part)))
            self.handles.append(module.register_forward_hook(self._stop(part)))

    def _lap(self) -> None:
        """Adds the time since the last event to the innermost running part."""
        _wait(self.device)
        now = time.perf_counter()
        if self.running:
            part = self.running[-1]
            self.sums[part] = self.sums.get(part, 0.0) + now - self.last
        self.last = now

    def _start(self, part: str) -> Callable[..., None]:
        def hook(module: nn.Module, *_: Any) -> None:
            if self.running or module is self.network:
                self._lap()
                self.running.append(part)

        return hook

    def _stop(self, part: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if self.running:
                self._lap()
                self.running.pop()

        return hook

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        for part in PARTS:
            if part in self.sums:
                self.into.setdefault(part, []).append(self.sums[part])


def _watched(
    module: nn.Module, prefix: str = "", inside: str = ""
) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules of each part but decoders, by the names that count parameters."""
    for name, child in module.named_children():
        part, within = part_of(prefix + name), inside
        container = isinstance(child, nn.ModuleDict | nn.ModuleList)
        if part in PARTS and part not in ("decoders", inside) and not container:
            yield part, child
            within = part
        yield from _watched(child, f"{prefix}{name}.", within)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """While active, float32 convolutions and matrix products of a GPU may, or may not, be TF32.

    torch allows it for convolutions unless told otherwise.
    """
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = allowed
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def inference_step(network: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> Step:
    """One forward pass without gradients."""

    def step() -> None:
        with (
            torch.inference_mode(),
            torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32),
        ):
            network(image)

    network.eval()
    return step


def training_step(network: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> Step:
    """Forward, a quadratic loss on every output, backward, the AdamW of training (fused)."""
    from crosstask.regimes.optimization import OptimizerSettings, create_optimizer

    settings = OptimizerSettings(name="adamw", lr=1e-6)
    groups = [{"params": list(network.parameters())}]
    optimizer = create_optimizer(settings, groups, image.device.type in ("cpu", "cuda"))

    def step() -> None:
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            outputs = network(image)
        levels = [o for k, v in outputs.items() if k != "auxiliary" for o in v]
        torch.stack([o.float().square().mean() for o in levels]).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # here, so that no step starts with old gradients

    network.train()
    return step


def task_names(number: int) -> Mapping[str, int]:
    """S-D-N-E, then further segmentation tasks over other class groupings.

    Raises:
        ValueError: fewer than one task or more than eight.
    """
    basic = {task.name: task.channels for task in (Segmentation(19), Depth(), Normals(), Edges())}
    further = {f"segmentation_{k}": k for k in (7, 8, 13, 16)}
    names = basic | further
    if not 1 <= number <= len(names):
        raise ValueError(f"`tasks` is {number}; expected 1 to {len(names)}")
    return dict(list(names.items())[:number])
