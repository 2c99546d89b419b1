"""Delta against what it costs: multiply-accumulates and parameters."""

from pathlib import Path

from crosstask.drawing.figures import save_figure
from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.records import SINGLE_TASK
from crosstask.experiments.comparison.rows import Row
from crosstask.experiments.comparison.statistics import summarise
from crosstask.experiments.comparison.table import ComparisonTable
from crosstask.experiments.studies.study import letters

AXES = (("macs", 1e9, "GMACs"), ("parameters", 1e6, "parameters (millions)"))


def plot(table: ComparisonTable, file: Path, tasks: str | None = None) -> tuple[Path, Path]:
    """Draws every row's delta with its spread; writes a PNG and an SVG beside each other.

    Args:
        file: its ending is replaced by .png and .svg.
        tasks: the task set whose delta is drawn ("S-D-N"); the largest by default.

    Raises:
        RunError: no row has a delta and a cost.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = tasks or (letters(table.sets[-1]) if table.sets else "")
    rows = [r for r in table.rows if r.cost and r.deltas.get(chosen)]
    if not rows:
        raise RunError(f"no run has a delta of {chosen or 'two tasks'} to draw; give more runs")
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (key, unit, label) in zip(figure.subplots(1, 2, sharey=True), AXES, strict=True):
        for index, row in enumerate(rows):
            _point(axis, row, chosen, (row.cost or {})[key] / unit, f"C{index % 10}")
        _name(axis, [(r.name, (r.cost or {})[key] / unit, _mean(r, chosen)) for r in rows])
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.set_xlabel(label)
        axis.grid(True, color="0.93")
        axis.margins(x=0.2, y=0.12)
    over = "single-task networks" if table.kind in SINGLE_TASK else table.kind
    figure.axes[0].set_ylabel(f"Δ {chosen} over {over} (%)")
    written = (file.with_suffix(".png"), file.with_suffix(".svg"))
    for path in written:
        save_figure(figure, path)
    return written


def _point(axis: object, row: Row, tasks: str, cost: float, color: str) -> None:
    summary = summarise(list(row.deltas[tasks].values()))
    assert summary is not None  # rows without values are left out above
    marker = "s" if row.baseline else "o"
    axis.errorbar(  # type: ignore[attr-defined]
        cost, summary.mean, yerr=summary.spread, fmt=marker, color=color, capsize=3, markersize=5
    )


def _mean(row: Row, tasks: str) -> float:
    summary = summarise(list(row.deltas[tasks].values()))
    assert summary is not None  # rows without values are left out above
    return summary.mean


def _name(axis: object, points: list[tuple[str, float, float]]) -> None:
    """Names beside their points; those of neighbours are moved up until they can be read."""
    wide = max(x for _, x, _ in points) - min(x for _, x, _ in points) or 1.0
    high = max(y for _, _, y in points) - min(y for _, _, y in points) or 1.0
    placed: list[tuple[float, float]] = []
    for name, x, y in sorted(points, key=lambda point: point[2]):
        free = y
        for other, at in placed:  # from below
            if abs(x - other) < 0.3 * wide and free < at + 0.035 * high:
                free = at + 0.035 * high
        placed = sorted([*placed, (x, free)], key=lambda place: place[1])
        axis.annotate(  # type: ignore[attr-defined]
            name, (x, free), xytext=(5, 5), textcoords="offset points", fontsize=7
        )
