"""`crosstask report RUN...`."""

from pathlib import Path

from crosstask.cli.arguments import (
    CommandParser,
    add_checkpoint,
    add_quiet,
    add_trust,
    progress_of,
    trust_of,
)


def main(argv: list[str]) -> int:
    parser = CommandParser(
        prog="crosstask report",
        description="one HTML page about one or several runs: curves, tables, errors by class and "
        "distance, best and worst images; two runs stand side by side; opens offline",
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, help="file; RUN/report.html, or report.html of many")
    parser.add_argument("--root", help="where the dataset lies now, if not where it was")
    parser.add_argument("--samples", type=int, default=2, help="best and worst images shown")
    parser.add_argument(
        "--worst-first", action="store_true", help="classes from the lowest IoU to the highest"
    )
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_quiet(parser)
    add_trust(parser)
    args = parser.parse_args(argv)

    from importlib.metadata import version

    from crosstask.engine.hardware import choose
    from crosstask.experiments.report.collect import collect
    from crosstask.experiments.report.page import page
    from crosstask.media.files import atomic_path

    if args.samples < 0:
        raise ValueError(f"`samples` is {args.samples}; expected 0 or more")
    device = choose(args.device).device
    facts = []
    for run in args.runs:
        options = {
            "root": args.root,
            "checkpoint": args.checkpoint,
            "device": device,
            "trust": trust_of(args),
            "progress": progress_of(args),
        }
        facts.append(collect(run, shown=args.samples, **options))
    output = args.output or (
        args.runs[0] / "report.html" if len(args.runs) == 1 else Path("report.html")
    )
    with atomic_path(output) as temporary:
        temporary.write_text(page(facts, version("crosstask"), args.worst_first), encoding="utf-8")
    print(output)
    return 0
