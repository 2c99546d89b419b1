"""`crosstask table RUN... [--write FILE] [--plot FILE] [--force]`."""

import sys
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import CommandParser, add_trust, trust_of


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.experiments.comparison.formats import WRITERS, write
    from crosstask.experiments.comparison.plot import plot
    from crosstask.experiments.comparison.sections import against, gap_closed, per_class
    from crosstask.experiments.comparison.table import ConflictError, make_table

    for file in args.write:
        if file.suffix not in WRITERS:
            raise ValueError(
                f"`--write` is {str(file)!r}; expected a name that ends in .md, .csv or .tex"
            )
    try:
        table = make_table(
            args.runs,
            force=args.force,
            baseline=args.baseline,
            cost=not args.no_cost,
            trust=trust_of(args),
        )
    except ConflictError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.plot and args.no_cost:
        raise ValueError("`--plot` draws the cost that `--no-cost` leaves out; give one of them")
    if args.per_class:
        table.sections.append(per_class(table.rows))
    if args.against:
        table.sections.append(against(table.rows, table.metrics, args.against))
    if args.gap:
        table.sections.append(gap_closed(table.rows, table.metrics, *args.gap))
    _print(table)
    for file in args.write:
        write(table, file)
        print(f"written: {file}")
    if args.plot:
        print("written:", *plot(table, args.plot, args.plot_tasks))
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="crosstask table",
        description="compare finished runs: means over seeds, gain over single-task networks, cost, "
        "controls",
    )
    parser.add_argument(
        "runs", nargs="+", help="run directories, folders of runs, or a study's list (.json)"
    )
    parser.add_argument(
        "--write",
        type=Path,
        action="append",
        default=[],
        help="a .md, .csv or .tex file; repeatable",
    )
    parser.add_argument("--plot", type=Path, help="delta against cost: writes a PNG and an SVG")
    parser.add_argument("--plot-tasks", help="task set of the plot, for example S-D-N")
    parser.add_argument(
        "--baseline",
        metavar="ROW",
        help="what delta is measured against: single_task, single_task_matched, the name of another "
        "row, or none",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="compare different protocols, splits or code all the same",
    )
    parser.add_argument("--per-class", action="store_true", help="also the IoU of every class")
    parser.add_argument(
        "--against",
        metavar="ROW",
        help="also the differences to this row, paired over seeds, with 95 %% intervals",
    )
    parser.add_argument(
        "--gap",
        nargs=2,
        metavar=("SOURCE", "ORACLE"),
        help="also the share of the gap between these two rows that every row closes",
    )
    parser.add_argument("--no-cost", action="store_true", help="do not count parameters and MACs")
    add_trust(parser)
    return parser


def _print(table: Any) -> None:
    from crosstask.cli.tables import console, fitted
    from crosstask.experiments.comparison.cells import best, cells, section_cells

    screen = console()
    for sheet in fitted(*cells(table), 2, screen.width, best(table)):
        screen.print(sheet, "")
    for note in table.notes:
        screen.print(note, markup=False, highlight=False)
    for section in table.sections:
        screen.print(f"\n{section.title}\n", markup=False, highlight=False)
        for sheet in fitted(*section_cells(section), 1, screen.width):
            screen.print(sheet, "")
