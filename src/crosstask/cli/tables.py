"""Metrics as tables in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def console(width: int = 110) -> Console:
    """The terminal, or a sheet of this width where output goes to a file."""
    sheet = Console()
    return sheet if sheet.is_terminal else Console(width=width)


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
