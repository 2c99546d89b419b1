"""`crosstask knockout RUN`: who helps whom."""

import json
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import CommandParser, add_checkpoint, add_trust, trust_of


def main(argv: list[str]) -> int:
    parser = CommandParser(
        prog="crosstask knockout",
        description="cut each direction of a trained exchange in turn and measure what its target "
        "loses; writes knockout.json and knockout.png into the run directory",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--root", help="where the dataset lies now")
    add_checkpoint(parser)
    parser.add_argument(
        "--mode",
        choices=("mean", "zero"),
        default="mean",
        help="what takes the place of what is read: its mean over the samples, or zeros",
    )
    parser.add_argument(
        "--samples", type=int, help="evenly spaced validation samples; all if left out"
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true")
    add_trust(parser)
    args = parser.parse_args(argv)

    from crosstask.experiments.comparison.knockout import knockout_run

    result = knockout_run(
        args.run,
        root=args.root,
        checkpoint=args.checkpoint,
        mode=args.mode,
        samples=args.samples,
        batch_size=args.batch_size,
        device=args.device,
        trust=trust_of(args),
    )
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
        print(f"written: {args.run / 'knockout.json'}, {args.run / 'knockout.png'}")
    return 0


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    from crosstask.cli.tables import console

    table = Table(title="loss of a target (%) when a source is cut | mean |alpha|")
    table.add_column("target")
    for source in result["tasks"]:
        table.add_column(f"without {source}", justify="right")
    for target in result["tasks"]:
        cells = []
        for source in result["tasks"]:
            loss, alpha = result["loss"][target][source], result["alpha"][target][source]
            text = "-" if loss is None else f"{round(loss, 2) + 0.0:+.2f}"
            cells.append(text if alpha is None else f"{text} | {alpha:.3f}")
        table.add_row(target, *cells)
    console().print(table)
    if result["without_attention"]:
        told = ", ".join(
            f"{name} {'-' if loss is None else f'{loss:+.2f}'}"
            for name, loss in result["without_attention"].items()
        )
        print(f"loss (%) with alpha = 0 everywhere: {told}")
