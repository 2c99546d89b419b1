"""`crosstask bench`: parameters, GMACs, latency and memory, by part, in turns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosstask.cli.arguments import CommandParser
from crosstask.engine.threads import whole_or_auto

if TYPE_CHECKING:
    from rich.table import Table


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.deploy.variants import BenchSettings, bench, plot
    from crosstask.drawing.figures import check_ending
    from crosstask.recipes.options import parse_size

    if args.plot:
        check_ending(args.plot)
    result = bench(
        BenchSettings(
            architectures=tuple(args.architectures.split(",")),
            encoder=args.encoder,
            tasks=tuple(_whole_number("--tasks", text) for text in args.tasks.split(",")),
            sizes=tuple(parse_size(size) for size in args.sizes.split(",")),
            width=args.width,
            batch=args.batch,
            mode=args.mode,
            precision=args.precision,
            emulated=args.emulated,
            tf32=args.tf32,
            device=args.device,
            threads=args.threads,
            channels_last=args.channels_last,
            compile=args.compile,
            recompute=args.recompute,
            optimize=args.optimize,
            cuda_graphs=args.cuda_graphs,
            rounds=args.rounds,
        )
    )
    if args.plot:
        plot(result["records"], args.plot)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result["records"], args, result["machine"])
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
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
    _add_execution(parser)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--plot", type=Path, help="PNG or SVG of latency against tasks or size")
    parser.add_argument("--json", action="store_true")
    return parser


def _add_execution(parser: CommandParser) -> None:
    """Options about how a network runs that do not change what it computes."""
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


def _whole_number(option: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"`{option}` has {text!r}; expected whole numbers with commas")
    return int(text)


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
