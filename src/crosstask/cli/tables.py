"""Tables in the terminal, as wide as it is."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE = 80  # columns where the output is no terminal, unless COLUMNS says another number


def console(pipe: int = PIPE) -> Console:
    """The terminal, or a sheet of so many columns where output goes to a pipe or file."""
    sheet = Console()
    columns = os.environ.get("COLUMNS", "")
    return sheet if sheet.is_terminal or columns.isdigit() else Console(width=pipe)


def fitted(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    names: int,
    width: int,
    places: Mapping[tuple[int, int], int] | None = None,
) -> list[Table]:
    """One table, or several below each other where one would be wider than `width`.

    No number is cut or broken. Each of the tables begins with the columns that name its rows, whose texts
    are folded where they take more than half of the width; rows without a number are left out of the
    second and later ones.

    Args:
        names: leading columns that name a row.
        places: {(line, column): 1 or 2}: best numbers are bold, second ones underlined.
    """
    wide = [
        max([cell_len(line[k]) for line in lines] + [cell_len(w) for w in title.split()])
        for k, title in enumerate(header)
    ]
    others = sum(n + _BETWEEN for n in wide[1:names])
    beside = max([n + 2 * _BETWEEN for n in wide[names:]], default=0)
    wide[0] = min(wide[0], max(10, min(width // 2, width - beside) - others))
    room = width - sum(n + _BETWEEN for n in wide[:names])
    blocks: list[list[int]] = [[]]
    for k in range(names, len(header)):
        if blocks[-1] and sum(wide[n] + _BETWEEN for n in [*blocks[-1], k]) > room:
            blocks.append([])
        blocks[-1].append(k)
    return [_sheet(header, lines, [*range(names), *block], wide, names, places) for block in blocks]


_BETWEEN = 3  # characters around a column
_STYLES = {1: "bold", 2: "underline"}


def _sheet(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    chosen: Sequence[int],
    wide: Sequence[int],
    names: int,
    places: Mapping[tuple[int, int], int] | None,
) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 1))
    for k in chosen:
        justify: Any = "left" if k < names else "right"
        limit = wide[k] if k == 0 else None
        table.add_column(
            header[k], justify=justify, overflow="fold", max_width=limit, min_width=wide[k]
        )
    for index, line in enumerate(lines):
        if chosen[names] > names and all(line[k] == "-" for k in chosen[names:]):
            continue
        styles = [_STYLES.get((places or {}).get((index, k), 0), "") for k in chosen]
        table.add_row(*(Text(line[k], style) for k, style in zip(chosen, styles, strict=True)))
    return table


def metrics_table(metrics: Mapping[str, float], tasks: Sequence[Any], title: str = "") -> None:
    """The main metrics of a run beside the trivial predictors'.

    Args:
        tasks: those of the run, in order.
    """
    table = Table(title=title, title_justify="left", header_style="bold")
    for column, justify in (("metric", "left"), ("this model", "right"), ("constant", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for task in tasks:
        prefix = f"{task.name}/"
        known = [k[len(prefix) :] for k in metrics if k.startswith(prefix)]
        for key in [k for k in task.main_metrics or known[:3] if k in known]:
            unit = task.measure(key).unit or ""
            value, constant = metrics[prefix + key], metrics.get(f"trivial/{prefix}{key}")
            table.add_row(f"{task.name} {key}", _show(unit, value), _show(unit, constant))
        table.add_section()
    table.add_row("score", _show("", metrics.get("score")), _show("", metrics.get("trivial/score")))
    console().print(table)


def _show(unit: str, value: float | None) -> str:
    """A value of metrics.json as it stands there, with its unit; fractions stay fractions."""
    if value is None or value != value:
        return "-"
    return f"{value:.2f} {unit}" if unit not in ("", "%") else f"{value:.3f}"
