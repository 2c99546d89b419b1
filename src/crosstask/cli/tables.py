"""Metrics as tables in the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

UNITS = {
    "rmse": "m",
    "rmse_image": "m",
    "mean": "°",
    "median": "°",
    "rmse_angle": "°",
}
HEADLINES = {
    "segmentation": ("miou", "pixel_accuracy"),
    "depth": ("rmse", "abs_rel", "delta1"),
    "normals": ("mean", "median", "within_11"),
    "edges": ("f1", "precision", "recall"),
}


def console(width: int = 110) -> Console:
    """The terminal, or a sheet of this width where output goes to a file."""
    sheet = Console()
    return sheet if sheet.is_terminal else Console(width=width)


def metrics_table(metrics: Mapping[str, float], tasks: Sequence[str], title: str = "") -> None:
    """The main metrics of a run beside the trivial predictors'."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column, justify in (("metric", "left"), ("this model", "right"), ("constant", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for task in tasks:
        prefix = f"{task}/"
        known = [k[len(prefix) :] for k in metrics if k.startswith(prefix)]
        kind = next((HEADLINES[k] for k in HEADLINES if task.startswith(k)), tuple(known[:3]))
        for key in [k for k in kind if k in known]:
            value, constant = metrics[prefix + key], metrics.get(f"trivial/{prefix}{key}")
            table.add_row(f"{task} {key}", _show(key, value), _show(key, constant))
        table.add_section()
    table.add_row("score", _show("", metrics.get("score")), _show("", metrics.get("trivial/score")))
    console().print(table)


def _show(key: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    unit = UNITS.get(key, "")
    return f"{value:.2f} {unit}".strip() if unit else f"{value:.3f}"
