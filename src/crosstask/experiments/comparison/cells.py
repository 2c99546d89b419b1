"""A comparison table as short texts, column by column, and which of them are best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crosstask.experiments.comparison.probe import SIGN
from crosstask.experiments.comparison.rows import Row
from crosstask.experiments.comparison.sections import Section
from crosstask.experiments.comparison.statistics import Interval, Summary, summarise
from crosstask.experiments.comparison.table import ComparisonTable
from crosstask.experiments.studies.study import letters

Cells = list[list[str]]
_BEFORE = 3  # columns before those of `columns`


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        title: with unit and direction.
        texts: one a row of the table.
        tasks: those that the numbers are about; None where they are about the network.
        values: {row: number as shown}, as far as rows are ranked.
        higher: whether a higher number is better.
        places: {row: 1 (best) or 2 (second)} among the rows of the same tasks.
        paired: whether it is a difference to a control.
    """

    title: str
    texts: list[str]
    tasks: tuple[str, ...] | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    higher: bool = True
    places: Mapping[int, int] = field(default_factory=dict)
    paired: bool = False


def cells(table: ComparisonTable) -> tuple[list[str], Cells]:
    """(header, rows) as short texts."""
    found = columns(table)
    header = ["method", "tasks", "seeds", *(column.title for column in found)]
    lines = []
    for index, row in enumerate(table.rows):
        seeds = "-" if row.encoder == "-" else str(len(row.metrics))
        lines.append([shown_name(row), table.set_of(row), seeds])
        lines[-1] += [column.texts[index] for column in found]
    return header, lines


def best(table: ComparisonTable) -> dict[tuple[int, int], int]:
    """{(line, column) of `cells`: 1 (best) or 2 (second)}."""
    return {
        (index, _BEFORE + number): place
        for number, column in enumerate(columns(table))
        for index, place in column.places.items()
    }


def shown_name(row: Row) -> str:
    """With the sign of a row that is below the linear probe in a task."""
    return row.name + SIGN * bool(row.below)


def columns(table: ComparisonTable) -> list[Column]:
    """Headlines, gains, cost, and the differences to the controls."""
    found = [
        _headline(table, title, *metric)
        for title, metric in zip(table.titles(), table.metrics, strict=True)
    ]
    found += [_gains(table, tasks) for tasks in table.sets]
    for title, key, unit in (("params M", "parameters", 1e6), ("GMACs", "macs", 1e9)):
        costs = [f"{row.cost[key] / unit:.2f}" if row.cost else "-" for row in table.rows]
        if any(row.cost for row in table.rows):
            found.append(Column(title, costs))
    for control, intervals in table.paired.items():
        texts = [interval_text(intervals.get(index)) for index in range(len(table.rows))]
        found.append(Column(f"vs {control}", texts, paired=True))
    return found


def _headline(table: ComparisonTable, title: str, name: str, headline: str) -> Column:
    task = table.tasks[name]
    measure = task.measure(headline)
    found = [
        row.summary(f"{name}/{headline}") if name in [t.name for t in row.tasks] else None
        for row in table.rows
    ]
    texts = [
        show(summary, measure.factor, measure.digits) + SIGN * (name in row.below)
        for row, summary in zip(table.rows, found, strict=True)
    ]
    values = {
        index: round(measure.factor * mean, measure.digits)
        for index, mean in _means(table, found).items()
    }
    higher = task.higher_is_better
    return Column(title, texts, (name,), values, higher, _places(table, values, higher))


def _gains(table: ComparisonTable, tasks: tuple[str, ...]) -> Column:
    key = letters(tasks)
    found = [summarise(list(row.deltas.get(key, {}).values())) for row in table.rows]
    zero = [key in row.baseline_of and bool(found[i]) for i, row in enumerate(table.rows)]
    texts = [
        "0 (baseline)" if baseline else show(summary, 1.0, 2, "+")
        for baseline, summary in zip(zero, found, strict=True)
    ]
    values = {i: round(mean, 2) for i, mean in _means(table, found).items() if not zero[i]}
    return Column(f"Δ {key} % ↑", texts, tasks, values, places=_places(table, values, True))


def _means(table: ComparisonTable, found: Sequence[Summary | None]) -> dict[int, float]:
    """{row: mean} of those that can be the best of a column: trained, and with a number."""
    return {
        index: summary.mean
        for index, summary in enumerate(found)
        if summary is not None and summary.mean == summary.mean and table.rows[index].encoder != "-"
    }


def _places(table: ComparisonTable, values: Mapping[int, float], higher: bool) -> dict[int, int]:
    """Best and second among the rows of each task set."""
    groups: dict[str, dict[int, float]] = {}
    for index, value in values.items():
        groups.setdefault(table.set_of(table.rows[index]), {})[index] = value
    return {
        index: place for group in groups.values() for index, place in ranks(group, higher).items()
    }


def ranks(values: Mapping[int, float], higher: bool) -> dict[int, int]:
    """{row: 1 (best) or 2 (second)}; equal texts share a place.

    Alone nothing is best, and the second of two is none.
    """
    if len(values) < 2:
        return {}
    ranked = sorted(set(values.values()), reverse=higher)[: 2 if len(values) > 2 else 1]
    return {i: ranked.index(value) + 1 for i, value in values.items() if value in ranked}


def show(summary: Summary | None, factor: float, digits: int, sign: str = "") -> str:
    """A mean with its spread; a dash where there is none."""
    if summary is None or summary.mean != summary.mean:
        return "-"
    mean = f"{factor * summary.mean:{sign}.{digits}f}"
    return mean if summary.spread is None else f"{mean} ± {factor * summary.spread:.{digits}f}"


def interval_text(interval: Interval | None) -> str:
    """A mean difference with its interval and its p, as far as there are any."""
    if interval is None:
        return "-"
    if interval.half_width is None:
        return f"{interval.mean:+.2f} (1 pair)"
    low, high = interval.mean - interval.half_width, interval.mean + interval.half_width
    p = "" if interval.adjusted is None else f" p={interval.adjusted:.3f}"
    return f"{interval.mean:+.2f} [{low:+.2f}, {high:+.2f}]{p}"


def section_cells(section: Section) -> tuple[list[str], Cells]:
    """(header, rows) of a further table as short texts."""
    lines = [[name, *map(_cell, values)] for name, values in section.lines]
    return ["method", *section.columns], lines


def _cell(value: Summary | Interval | None) -> str:
    return interval_text(value) if isinstance(value, Interval) else show(value, 1.0, 1)


def task_sets(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The task sets of the trained rows, small ones first."""
    found = dict.fromkeys(
        tuple(task.name for task in row.tasks) for row in rows if row.encoder != "-"
    )
    return sorted(found, key=len)
