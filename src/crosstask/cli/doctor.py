"""`crosstask doctor`."""

import json
from pathlib import Path

from crosstask.cli.arguments import CommandParser, add_quiet, progress_of

MARKS = {"fine": "[green]ok[/]", "hint": "[yellow]hint[/]", "breaks": "[bold red]broken[/]"}


def main(argv: list[str]) -> int:
    parser = CommandParser(
        prog="crosstask doctor",
        description="looks at versions, devices, extras, rights and disk, and says what to do about "
        "each finding; exit code 1 where something is broken",
    )
    parser.add_argument("--folder", type=Path, help="where runs will be written (default: here)")
    parser.add_argument("--json", action="store_true")
    add_quiet(parser)
    args = parser.parse_args(argv)

    from crosstask.engine.diagnosis import BREAKS, examine

    findings = examine(args.folder, progress=progress_of(args))
    broken = sum(finding.level == BREAKS for finding in findings)
    if args.json:
        print(json.dumps([finding.to_json() for finding in findings], indent=2))
        return int(broken > 0)

    from rich.markup import escape
    from rich.table import Table

    from crosstask.cli.tables import console

    table = Table(header_style="bold")
    for column in ("", "what", "found", "remedy"):
        table.add_column(column, overflow="fold")
    for f in findings:
        table.add_row(MARKS[f.level], escape(f.what), escape(f.text), escape(f.remedy))
    screen = console(110)
    screen.print(table)
    screen.print(f"{broken} broken." if broken else "Nothing is broken.")
    return int(broken > 0)
