"""`crosstask bench`: parameters, GMACs, latency and memory, by part, in turns."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstask.engine.cores import cores
from crosstask.engine.threads import whole_or_auto

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from crosstask.deploy.benchmark import Variant


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask bench",
        description=__doc__,
        epilog="Peak MB: above what was there before the step, so without weights, image and states "
        "of the optimiser: on a GPU what its allocator gives, on a CPU the tensors that the step "
        "makes; '-' where it cannot be told (compiled on a CPU, CUDA graphs). By part: time of the "
        "forward pass; heads are the prediction layers, decoders all that is no other part.",
    )
    parser.add_argument(
        "--architectures",
        default="multi_task_matched,densemtl",
        help="with commas; the first is the reference of the ratios",
    )
    parser.add_argument("--encoder", help="a timm name; each architecture's own if left out")
    parser.add_argument(
        "--tasks",
        default="3",
        help="numbers of tasks with commas (2: S-D, 3: S-D-N, 4: S-D-N-E, up to 8)",
    )
    parser.add_argument("--sizes", default="256x512", help="HEIGHTxWIDTH with commas")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--mode", choices=("inference", "training"), default="inference")
    parser.add_argument("--precision", choices=("32", "bf16", "auto"), default="32")
    parser.add_argument(
        "--emulated",
        action="store_true",
        help="allow --precision bf16 on a CPU without bf16 instructions (for its memory)",
    )
    parser.add_argument(
        "--tf32", action="store_true", help="let a GPU round float32 products to TF32"
    )
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu")
    parser.add_argument(
        "--threads",
        type=whole_or_auto,
        default=1,
        help="of the CPU; one (the default) gives stable numbers, auto takes the cores that this "
        "process may use",
    )
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile, fullgraph")
    parser.add_argument(
        "--recompute", action="store_true", help="activation checkpointing (training)"
    )
    parser.add_argument(
        "--optimize", action="store_true", help="fold norms, drop intermediate heads (inference)"
    )
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="with --optimize on a GPU: replay CUDA graphs"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--plot", type=Path, help="PNG or SVG of latency against tasks or size")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    import torch

    from crosstask.deploy.benchmark import task_names, tf32
    from crosstask.engine.hardware import choose
    from crosstask.recipes.options import parse_size

    if args.threads == "auto":
        args.threads = cores().threads
    _check_options(args)
    torch.set_num_threads(args.threads)
    hardware = choose(args.device, args.precision)
    _check_hardware(args, hardware)
    sizes = [parse_size(size) for size in args.sizes.split(",")]
    records: list[dict[str, Any]] = []
    with tf32(args.tf32):
        for tasks in [task_names(_whole_number("--tasks", n)) for n in args.tasks.split(",")]:
            for size in sizes:
                records += _measure(args, tasks, size, hardware)
    if args.plot:
        _plot(records, args.plot)
    machine = _machine(hardware) | {"tf32": args.tf32}
    if args.json:
        print(json.dumps({"machine": machine, "records": records}, indent=2))
    else:
        _print(records, args, machine)
    return 0


def _whole_number(option: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"`{option}` has {text!r}; expected whole numbers with commas")
    return int(text)


def _check_options(args: Any) -> None:
    """Refuses options that do not go together, before anything is built."""
    if args.recompute and (args.mode == "inference" or args.compile or args.optimize):
        raise ValueError(
            "`--recompute` saves memory in plain training; give `--mode training`, without "
            "`--compile` (which plans memory itself) and `--optimize` (inference only)"
        )
    if args.optimize and args.mode == "training":
        raise ValueError(
            "`--optimize` makes networks for inference; give `--mode inference` or leave it out"
        )
    if args.cuda_graphs and (not args.optimize or args.compile):
        raise ValueError("`--cuda-graphs` belongs to `--optimize`, without `--compile`")
    for option in ("rounds", "batch", "threads"):
        if getattr(args, option) < 1:
            raise ValueError(f"`--{option}` is {getattr(args, option)}; expected at least 1")


def _check_hardware(args: Any, hardware: Any) -> None:
    """Refuses what this machine would only pretend to do."""
    if args.tf32 and hardware.device.type != "cuda":
        raise ValueError(
            "`--tf32` is a number format of GPUs; give `--device cuda` or leave it out"
        )
    if hardware.emulates and not args.emulated:
        raise ValueError(
            "`--precision` is bf16, which this CPU lacks and would emulate, 10 to 20 times slower; "
            "use 32 or auto, or add `--emulated` where only memory matters"
        )


def _measure(
    args: Any, tasks: Mapping[str, int], size: tuple[int, int], hardware: Any
) -> list[dict[str, Any]]:
    """One group of variants, measured in turns."""
    import torch

    from crosstask.deploy import benchmark

    if args.compile or args.cuda_graphs:
        torch._dynamo.reset()  # the networks of the last group are gone
    image = torch.rand(args.batch, 3, *size, device=hardware.device)
    if args.channels_last:
        image = image.contiguous(memory_format=torch.channels_last)
    names = args.architectures.split(",")
    variants = [_variant(args, name, tasks, image, hardware) for name in names]
    return benchmark.measure(variants, rounds=args.rounds, device=hardware.device)


def _variant(
    args: Any, name: str, tasks: Mapping[str, int], image: "Tensor", hardware: Any
) -> "Variant":
    """One architecture with the asked options, ready to run."""
    import torch

    from crosstask.deploy import benchmark
    from crosstask.deploy.optimize import optimize
    from crosstask.models import create_model
    from crosstask.models.flops import count_macs
    from crosstask.models.networks.recompute import recompute_activations

    dtype = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
    network: Any = create_model(
        name, tasks, encoder=args.encoder, pretrained=False, width=args.width
    )
    size = (image.shape[-2], image.shape[-1])
    counts = count_macs(network, size)
    total = counts.pop("total")
    facts = {"tasks": len(tasks), "size": list(size), **total, "parts": counts}
    network.to(hardware.device)
    if args.channels_last:
        network.to(memory_format=torch.channels_last)
    if args.optimize:
        network = optimize(
            network, dtype=dtype, channels_last=args.channels_last, cuda_graphs=args.cuda_graphs
        )
    if args.recompute:
        recompute_activations(network)
    parts = None if args.cuda_graphs else getattr(network, "network", network)
    if args.compile:
        network, parts = _compiled(network, hardware.device.type), None
    make = benchmark.inference_step if args.mode == "inference" else benchmark.training_step
    told = not args.cuda_graphs and not (args.compile and hardware.device.type == "cpu")
    return benchmark.Variant(name, make(network, image, dtype), parts, args.batch, facts, told)


def _compiled(network: Any, device: str) -> Any:
    import torch

    from crosstask.deploy.optimize import raise_recompile_limit
    from crosstask.engine.hardware import check_compiler

    check_compiler(device)
    raise_recompile_limit()
    return torch.compile(network, fullgraph=True)


def _machine(hardware: Any) -> dict[str, Any]:
    from crosstask.engine.environment import environment

    facts = environment(str(hardware.device))
    return {
        "device": facts["device"],
        "torch": facts["packages"]["torch"],
        "threads": facts["threads"],
        "cpu": facts["cpu_capability"],
        "precision": hardware.precision,
    }


def _print(records: list[dict[str, Any]], args: Any, machine: dict[str, Any]) -> None:
    from crosstask.cli.tables import console

    formats = {"bf16": "bf16", "32": "TF32" if machine["tf32"] else "float32"}
    number = formats[machine["precision"]]
    title = f"{args.mode}, batch {args.batch}, {number}, {machine['device']}, ms in the median"
    sheet = console(120)
    sheet.print(_whole_table(records, title))
    sheet.print(_part_table(records))


def _table(title: str, columns: Sequence[str]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("architecture", min_width=18)
    for column in ("tasks", "size", *columns):
        table.add_column(column, justify="right")
    return table


def _first_cells(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["name"], str(record["tasks"]), "x".join(map(str, record["size"]))


def _whole_table(records: list[dict[str, Any]], title: str) -> "Table":
    columns = ("M params", "GMACs", "ms", "p90", "images/s", "faster", "peak MB")
    table = _table(title, columns)
    for r in records:
        table.add_row(
            *_first_cells(r),
            f"{r['parameters'] / 1e6:.2f}",
            f"{r['macs'] / 1e9:.1f}",
            f"{r['median_ms']:.1f}",
            f"{r['p90_ms']:.1f}",
            f"{r['images_per_second']:.2f}",
            f"{r['ratio']:.2f}",
            "-" if r["memory_mb"] is None else f"{r['memory_mb']:.0f}",
        )
    return table


def _part_table(records: list[dict[str, Any]]) -> "Table":
    from crosstask.deploy.benchmark import PARTS

    table = _table("by part: ms of the forward pass, GMACs (parameters: --json)", PARTS)
    for r in records:
        table.add_row(*_first_cells(r), *(_part_cell(r, part) for part in PARTS))
    return table


def _part_cell(record: dict[str, Any], part: str) -> str:
    """ "12 ms 3.4 G", without what is not known."""
    milliseconds, counts = record["parts_ms"].get(part), record["parts"].get(part)
    cells = [] if milliseconds is None else [f"{milliseconds:.0f} ms"]
    if counts is not None:
        cells.append(f"{counts['macs'] / 1e9:.1f} G")
    return " ".join(cells) or "-"


def _plot(records: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_tasks = len({r["tasks"] for r in records}) > 1
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(r["name"] for r in records):
        own = [r for r in records if r["name"] == name]
        x = [r["tasks"] if by_tasks else r["size"][0] * r["size"][1] / 1e6 for r in own]
        axes.plot(x, [r["median_ms"] for r in own], marker="o", label=name)
    axes.set_xlabel("number of tasks" if by_tasks else "megapixels")
    axes.set_ylabel("median latency (ms)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
