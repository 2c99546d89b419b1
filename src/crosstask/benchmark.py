"""Speed and memory of networks, measured in turns in one process so that ratios hold."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Step = Callable[[], Any]


@dataclass
class Variant:
    """One thing to time.

    Attributes:
        name: what the table calls it.
        network: for the parts; None where there are none.
        step: one repetition.
        images: pictures of one repetition.
    """

    name: str
    step: Step
    network: nn.Module | None = None
    images: int = 1
    facts: dict[str, Any] = field(default_factory=dict)


def measure(
    variants: Sequence[Variant], *, rounds: int = 10, warmup: int = 2, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Times all variants in turns; the first is the reference of `ratio`.

    Returns:
        One record a variant: latency median and p90 (ms), images a second, ratio (reference time
        over this time, the median of the rounds' ratios), peak memory (MB, see `peak_memory`),
        time by part.
    """
    times: dict[str, list[float]] = {v.name: [] for v in variants}
    parts: dict[str, dict[str, list[float]]] = {v.name: {} for v in variants}
    for variant in variants:
        for _ in range(warmup):
            variant.step()
    for _ in range(rounds):
        for variant in variants:
            with _timed_parts(variant, parts[variant.name], device):
                times[variant.name].append(_time(variant.step, device))
    memory = {v.name: peak_memory(v.step, device) for v in variants}
    reference = times[variants[0].name]
    return [
        {
            "name": v.name,
            "median_ms": 1e3 * statistics.median(times[v.name]),
            "p90_ms": 1e3 * sorted(times[v.name])[min(rounds - 1, int(0.9 * rounds))],
            "images_per_second": v.images / statistics.median(times[v.name]),
            "ratio": statistics.median(
                a / b for a, b in zip(reference, times[v.name], strict=True)
            ),
            "memory_mb": memory[v.name] / 2**20,
            "parts_ms": {k: 1e3 * statistics.median(t) for k, t in parts[v.name].items()},
            **v.facts,
        }
        for v in variants
    ]


def _time(step: Step, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


class _timed_parts:
    """Forward time of encoder, exchanges and the rest, through hooks (they wait for the device)."""

    def __init__(self, variant: Variant, into: dict[str, list[float]], device: str) -> None:
        self.network, self.into, self.device = variant.network, into, device
        self.handles: list[Any] = []
        self.sums: dict[str, float] = {}

    def __enter__(self) -> None:
        if self.network is None:
            return
        watched: list[tuple[str, nn.Module]] = [("forward", self.network)]
        if isinstance(getattr(self.network, "encoder", None), nn.Module):
            watched.append(("encoder", self.network.encoder))  # type: ignore[arg-type]
        exchanges = getattr(self.network, "exchanges", None)
        if isinstance(exchanges, nn.ModuleDict):
            watched += [("exchange", m) for m in exchanges.values()]
        for name, module in watched:
            self.handles.append(module.register_forward_pre_hook(self._start(name)))
            self.handles.append(module.register_forward_hook(self._stop(name)))
        self.starts: dict[str, float] = {}

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _start(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.starts[name] = self._now()

        return hook

    def _stop(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.sums[name] = self.sums.get(name, 0.0) + self._now() - self.starts[name]

        return hook

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        if "forward" in self.sums:
            whole = self.sums.pop("forward")
            self.sums["decoders and heads"] = whole - sum(self.sums.values())
        for name, value in self.sums.items():
            self.into.setdefault(name, []).append(value)


def peak_memory(step: Step, device: str) -> int:
    """Bytes at the peak: all that is allocated (GPU), or above what was there before (CPU)."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())
    with PeakMemory() as memory:
        step()
    return memory.peak


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that operations made and that are alive, forward and backward.

    A processor's allocator keeps no such statistics. What was there before is not counted, nor the
    scratch memory inside one operation.

    Attributes:
        peak: the largest sum so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage()._cdata for x in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)
            if reference.cdata not in self._alive and storage._cdata not in given:
                self._alive[reference.cdata] = (reference, storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


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
    """Forward, a quadratic loss on every output, backward, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            outputs = network(image)
        levels = [o for k, v in outputs.items() if k != "auxiliary" for o in v]
        torch.stack([o.float().square().mean() for o in levels]).sum().backward()
        optimizer.step()

    network.train()
    return step


def task_names(number: int) -> Mapping[str, int]:
    """S-D-N-E, then further segmentation tasks over other class groupings."""
    basic = {"segmentation": 19, "depth": 1, "normals": 3, "edges": 2}
    further = {f"segmentation_{k}": k for k in (7, 8, 13, 16)}
    return dict(list((basic | further).items())[:number])
