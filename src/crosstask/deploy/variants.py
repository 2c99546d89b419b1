"""Architectures by name, built, prepared and measured in turns: what `crosstask bench` compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crosstask.deploy import benchmark
from crosstask.deploy.benchmark import Variant, task_names, tf32
from crosstask.deploy.optimize import optimize, raise_recompile_limit
from crosstask.drawing.figures import save_figure
from crosstask.engine.cores import cores
from crosstask.engine.environment import environment
from crosstask.engine.hardware import Hardware, check_compiler, choose
from crosstask.models import create_model
from crosstask.models.flops import count_macs
from crosstask.models.networks.recompute import recompute_activations


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured, and how.

    Attributes:
        architectures: names; the first is the reference of the ratios.
        encoder: a timm name; each architecture's own if left out.
        tasks: numbers of tasks; every number is measured at every size.
        sizes: (height, width).
        width: factor on decoder widths.
        batch: images that go in together.
        mode: "inference" or "training".
        precision: 32, bf16 or auto.
        emulated: allow bf16 on a CPU without its instructions (for its memory).
        tf32: let a GPU round float32 products to TF32.
        device: cpu, cuda or auto.
        threads: of the CPU, or "auto".
        channels_last: memory layout of convolutions.
        compile: torch.compile, one graph.
        recompute: activation checkpointing (training).
        optimize: fold norms, drop intermediate heads (inference).
        cuda_graphs: with `optimize` on a GPU, replay CUDA graphs.
        rounds: turns.

    Raises:
        ValueError: options that do not go together.
    """

    architectures: tuple[str, ...] = ("multi_task_matched", "densemtl")
    encoder: str | None = None
    tasks: tuple[int, ...] = (3,)
    sizes: tuple[tuple[int, int], ...] = ((256, 512),)
    width: float = 1.0
    batch: int = 1
    mode: Literal["inference", "training"] = "inference"
    precision: str = "32"
    emulated: bool = False
    tf32: bool = False
    device: str = "cpu"
    threads: int | Literal["auto"] = 1
    channels_last: bool = False
    compile: bool = False
    recompute: bool = False
    optimize: bool = False
    cuda_graphs: bool = False
    rounds: int = 10

    def __post_init__(self) -> None:
        if self.recompute and (self.mode == "inference" or self.compile or self.optimize):
            raise ValueError(
                "`--recompute` saves memory in plain training; give `--mode training`, without "
                "`--compile` (which plans memory itself) and `--optimize` (inference only)"
            )
        if self.optimize and self.mode == "training":
            raise ValueError(
                "`--optimize` makes networks for inference; give `--mode inference` or leave it out"
            )
        if self.cuda_graphs and (not self.optimize or self.compile):
            raise ValueError("`--cuda-graphs` belongs to `--optimize`, without `--compile`")
        counts = {"rounds": self.rounds, "batch": self.batch, "threads": self.threads}
        for option, value in counts.items():
            if value != "auto" and value < 1:
                raise ValueError(f"`--{option}` is {value}; expected at least 1")


def bench(settings: BenchSettings) -> dict[str, Any]:
    """`{"machine": facts, "records": one an architecture, number of tasks and size}`; JSON values.

    Raises:
        ValueError: unknown architecture, or what this machine would only pretend to do.
    """
    torch.set_num_threads(cores().threads if settings.threads == "auto" else settings.threads)
    hardware = choose(settings.device, settings.precision)
    _check_hardware(settings, hardware)
    records: list[dict[str, Any]] = []
    with tf32(settings.tf32):
        for number in settings.tasks:
            for size in settings.sizes:
                records += _measure(settings, task_names(number), size, hardware)
    return {"machine": _machine(hardware) | {"tf32": settings.tf32}, "records": records}


def _check_hardware(settings: BenchSettings, hardware: Hardware) -> None:
    """Refuses what this machine would only pretend to do."""
    if settings.tf32 and hardware.device.type != "cuda":
        raise ValueError(
            "`--tf32` is a number format of GPUs; give `--device cuda` or leave it out"
        )
    if hardware.emulates and not settings.emulated:
        raise ValueError(
            "`--precision` is bf16, which this CPU lacks and would emulate, 10 to 20 times slower; "
            "use 32 or auto, or add `--emulated` where only memory matters"
        )


def _measure(
    settings: BenchSettings, tasks: Mapping[str, int], size: tuple[int, int], hardware: Hardware
) -> list[dict[str, Any]]:
    """One group of variants, measured in turns."""
    if settings.compile or settings.cuda_graphs:
        torch._dynamo.reset()  # the networks of the last group are gone
    image = torch.rand(settings.batch, 3, *size, device=hardware.device)
    if settings.channels_last:
        image = image.contiguous(memory_format=torch.channels_last)
    variants = [_variant(settings, name, tasks, image, hardware) for name in settings.architectures]
    return benchmark.measure(variants, rounds=settings.rounds, device=hardware.device)


def _variant(
    settings: BenchSettings,
    name: str,
    tasks: Mapping[str, int],
    image: Tensor,
    hardware: Hardware,
) -> Variant:
    """One architecture with the asked options, ready to run."""
    dtype = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
    network: nn.Module = create_model(
        name, tasks, encoder=settings.encoder, pretrained=False, width=settings.width
    )
    size = (image.shape[-2], image.shape[-1])
    counts = count_macs(network, size)
    total = counts.pop("total")
    facts = {"tasks": len(tasks), "size": list(size), **total, "parts": counts}
    network.to(hardware.device)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts: nn.Module | None = network
    if settings.optimize:
        optimized = optimize(
            network,
            dtype=dtype,
            channels_last=settings.channels_last,
            cuda_graphs=settings.cuda_graphs,
        )
        network, parts = optimized, None if settings.cuda_graphs else optimized.network
    if settings.recompute:
        recompute_activations(network)
    if settings.compile:
        network, parts = _compiled(network, hardware.device.type), None
    make = benchmark.inference_step if settings.mode == "inference" else benchmark.training_step
    told = not settings.cuda_graphs and not (settings.compile and hardware.device.type == "cpu")
    return Variant(name, make(network, image, dtype), parts, settings.batch, facts, told)


def _compiled(network: nn.Module, device: str) -> Any:
    check_compiler(device)
    raise_recompile_limit()
    return torch.compile(network, fullgraph=True)


def _machine(hardware: Hardware) -> dict[str, Any]:
    facts = environment(str(hardware.device))
    return {
        "device": facts["device"],
        "torch": facts["packages"]["torch"],
        "threads": facts["threads"],
        "cpu": facts["cpu_capability"],
        "precision": hardware.precision,
    }


def plot(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Median latency against the number of tasks, or the size, as a PNG or SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_tasks = len({r["tasks"] for r in records}) > 1
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in dict.fromkeys(r["name"] for r in records):
        own = [r for r in records if r["name"] == name]
        x = [r["tasks"] if by_tasks else r["size"][0] * r["size"][1] / 1e6 for r in own]
        axes.plot(x, [r["median_ms"] for r in own], marker="o", label=name)
    axes.set_xlabel("number of tasks" if by_tasks else "megapixels")
    axes.set_ylabel("median latency (ms)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)
