"""`crosstask bench`: parameters, GMACs, latency and memory, by part, in turns."""

import argparse
import json
from pathlib import Path
from typing import Any


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="crosstask bench",
        description=__doc__,
        epilog="Peak MB: all that is allocated on a GPU; on a CPU the tensors that one step makes, "
        "weights and image not counted.",
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
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the CPU; one gives stable numbers"
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

    from crosstask.hardware import choose
    from crosstask.recipes.options import parse_size

    if args.recompute and (args.mode == "inference" or args.compile or args.optimize):
        raise ValueError(
            "`--recompute` saves memory in plain training; give `--mode training`, without "
            "`--compile` (which plans memory itself) and `--optimize` (inference only)"
        )
    if args.cuda_graphs and (not args.optimize or args.compile):
        raise ValueError("`--cuda-graphs` belongs to `--optimize`, without `--compile`")
    torch.set_num_threads(args.threads)
    hardware = choose(args.device, args.precision)
    records: list[dict[str, Any]] = []
    for number in (int(n) for n in args.tasks.split(",")):
        for size in (parse_size(s) for s in args.sizes.split(",")):
            records += _measure(args, number, size, hardware)
    if args.plot:
        _plot(records, args.plot)
    if args.json:
        print(json.dumps({"machine": _machine(hardware), "records": records}, indent=2))
    else:
        _print(records, args, _machine(hardware))
    return 0


def _measure(args: Any, number: int, size: tuple[int, int], hardware: Any) -> list[dict[str, Any]]:
    import torch

    from crosstask import benchmark
    from crosstask.inference import optimize
    from crosstask.models import create_model
    from crosstask.models.flops import count_macs
    from crosstask.models.recompute import recompute_activations

    dtype = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
    tasks = benchmark.task_names(number)
    device = hardware.device
    image = torch.rand(args.batch, 3, *size, device=device)
    if args.channels_last:
        image = image.contiguous(memory_format=torch.channels_last)
    variants = []
    for name in args.architectures.split(","):
        network: Any = create_model(
            name, tasks, encoder=args.encoder, pretrained=False, width=args.width
        )
        total = count_macs(network, size)["total"]
        network.to(device)
        if args.channels_last:
            network.to(memory_format=torch.channels_last)
        if args.optimize:
            network = optimize(
                network,
                dtype=dtype,
                channels_last=args.channels_last,
                cuda_graphs=args.cuda_graphs,
            )
        if args.recompute:
            recompute_activations(network)
        parts = None if args.cuda_graphs else getattr(network, "network", network)
        if args.compile:
            network, parts = _compiled(network, device.type), None
        make = benchmark.inference_step if args.mode == "inference" else benchmark.training_step
        facts = {
            "tasks": number,
            "size": list(size),
            "parameters": total["parameters"],
            "macs": total["macs"],
        }
        variants.append(
            benchmark.Variant(name, make(network, image, dtype), parts, args.batch, facts)
        )
    return benchmark.measure(variants, rounds=args.rounds, device=device.type)


def _compiled(network: Any, device: str) -> Any:
    import torch

    from crosstask.hardware import check_compiler

    check_compiler(device)
    return torch.compile(network, fullgraph=True)


def _machine(hardware: Any) -> dict[str, Any]:
    from crosstask.runs import environment

    facts = environment()
    return {
        "device": facts["device"],
        "torch": facts["packages"]["torch"],
        "threads": facts["threads"],
        "cpu": facts["cpu_capability"],
        "precision": hardware.precision,
    }


def _print(records: list[dict[str, Any]], args: Any, machine: dict[str, Any]) -> None:
    from rich.table import Table

    from crosstask.commands.tables import console

    title = f"{args.mode}, batch {args.batch}, {machine['precision']} bit, {machine['device']}, ms in the median"
    table = Table(title=title, title_justify="left")
    names = (
        "architecture",
        "tasks",
        "size",
        "M params",
        "GMACs",
        "ms",
        "p90",
        "images/s",
        "faster",
    )
    parts = ("encoder", "exchange", "decoders and heads")
    table.add_column(names[0], min_width=18)
    for column in (*names[1:], "peak MB", "encoder", "exchange", "rest"):
        table.add_column(column, justify="right")
    for r in records:
        table.add_row(
            r["name"],
            str(r["tasks"]),
            "x".join(map(str, r["size"])),
            f"{r['parameters'] / 1e6:.2f}",
            f"{r['macs'] / 1e9:.1f}",
            f"{r['median_ms']:.1f}",
            f"{r['p90_ms']:.1f}",
            f"{r['images_per_second']:.2f}",
            f"{r['ratio']:.2f}",
            f"{r['memory_mb']:.0f}",
            *(f"{r['parts_ms'][p]:.0f}" if p in r["parts_ms"] else "-" for p in parts),
        )
    console(140).print(table)


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
