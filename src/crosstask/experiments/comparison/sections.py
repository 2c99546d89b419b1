"""Further tables below the first: classes, paired differences to one row, the domain gap."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.rows import Row
from crosstask.experiments.comparison.statistics import (
    Interval,
    Summary,
    adjusted,
    paired,
    summarise,
)
from crosstask.experiments.studies.study import letters
from crosstask.metrics.delta import Compared, delta
from crosstask.metrics.domain_gap import share_closed
from crosstask.suggest import nearest

Cell = Summary | Interval | None


class _Beside(NamedTuple):
    """A further metric that is read like a task's headline, see `Task.further_headlines`."""

    name: str
    headline: str
    higher_is_better: bool


@dataclass(frozen=True)
class Section:
    """A table of its own: one line a row of the comparison.

    Attributes:
        title: says what the numbers are.
        columns: titles.
        lines: (name, cells); a number is already in the unit that the title names.
    """

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]


def per_class(rows: Sequence[Row]) -> Section:
    """IoU of every class in percent, over the seeds of each row.

    Raises:
        RunError: no run with a task that has classes.
    """
    prefixes = {f"{t.name}/iou/": t.name for row in rows for t in row.tasks if t.class_table}
    found = {
        key: prefix
        for row in rows
        for metrics in row.metrics.values()
        for key in metrics
        for prefix in prefixes
        if key.startswith(prefix)
    }
    if not found:
        raise RunError("`--per-class` needs runs with segmentation; none of these has it")
    several = len({*found.values()}) > 1
    titles = tuple(
        f"{prefixes[prefix]} {key.removeprefix(prefix)}" if several else key.removeprefix(prefix)
        for key, prefix in found.items()
    )
    lines = [
        (_told(row, rows), tuple(summarise(_percent(row, key)) for key in found))
        for row in rows
        if any(key in m for m in row.metrics.values() for key in found)
    ]
    return Section("IoU of every class, %", titles, tuple(lines))


def _percent(row: Row, key: str) -> list[float]:
    """A metric of every seed in percent; a class that no validation image shows has none."""
    values = [100.0 * m[key] for m in row.metrics.values() if key in m]
    return [value for value in values if value == value]


def against(rows: Sequence[Row], metrics: Sequence[tuple[str, str]], name: str) -> Section:
    """Differences of every headline to the row `name`, pairs of the same seed.

    Of several rows of that name, the one on the same tasks. Fractions in points of a percent; metres
    and degrees as they are. The last column is the mean relative gain over all tasks that both have, in
    percent: `delta` with that row of the same seed as its baseline.
    """
    others = _rows(rows, name, "--against")
    tasks = {task.name: task for row in rows for task in row.tasks}
    factors = {f"{name}/{key}": tasks[name].measure(key).factor for name, key in metrics}
    compared = [
        (row, other)
        for row in rows
        if row.name != name and row.encoder != "-" and (other := _of_same_tasks(row, others))
    ]
    columns: list[dict[int, Interval]] = []
    for key, factor in factors.items():
        columns.append(
            _filled(
                paired(_seeds(row, key, factor), _seeds(other, key, factor))
                for row, other in compared
            )
        )
    columns.append(_filled(_interval(_gains(row, other)) for row, other in compared))
    columns = [adjusted(column) for column in columns]
    lines = [
        (_told(row, rows), tuple(column.get(index) for column in columns))
        for index, (row, _) in enumerate(compared)
    ]
    title = (
        f"minus {name}{_without(rows, others, name)}: pairs of the same seed, Student's 95 % interval, p of the paired test after "
        f"Holm over {len(compared)} rows, column by column"
    )
    return Section(title, (*factors, "mean gain %"), tuple(lines))


def _filled(found: Iterable[Interval | None]) -> dict[int, Interval]:
    return {index: interval for index, interval in enumerate(found) if interval is not None}


def gap_closed(
    rows: Sequence[Row], metrics: Sequence[tuple[str, str]], source: str, oracle: str
) -> Section:
    """Share of the way from `source` to `oracle` that every row goes, in percent, seed by seed.

    See `crosstask.metrics.domain_gap.share_closed`; a seed without a gap has none. The last column is the
    share of the mean relative gain over all tasks, with Student's 95 % interval.
    """
    starts, ends = _rows(rows, source, "--gap"), _rows(rows, oracle, "--gap")
    beside = [
        _Beside(task.name, metric, task.higher_is_better)
        for end in ends
        for task in end.tasks
        for metric in task.further_headlines
    ]
    compared: tuple[Compared, ...] = (*(task for end in ends for task in end.tasks), *beside)
    measured = {f"{task.name}/{task.headline}": task for task in compared}
    shown = {key for end in ends for m in end.metrics.values() for key in m}
    keys = [f"{task}/{headline}" for task, headline in metrics]
    keys += [key for key in measured if key in shown and key not in keys]
    lines = []
    for row in rows:
        low, high = _of_same_tasks(row, starts), _of_same_tasks(row, ends)
        if row.name in (source, oracle) or row.encoder == "-" or low is None or high is None:
            continue
        common = _names(row) & _names(low) & _names(high)
        own, whole = _gains(row, low, common), _gains(high, low, common)
        shares = {s: 100.0 * own[s] / whole[s] for s in own if whole.get(s, 0.0) > 0}
        every = common >= _names(high)
        cells: list[Cell] = [
            summarise(_shares(row, low, high, measured[key])) if key in measured else None
            for key in keys
        ]
        lines.append((_told(row, rows), (*cells, _interval(shares) if every else None)))
    left = _without(rows, starts, source, oracle) or _without(rows, ends, source, oracle)
    title = f"share of the gap from {source} to {oracle} that is closed{left}, %"
    return Section(title, (*keys, "all tasks"), tuple(lines))


def _gains(row: Row, other: Row, names: Collection[str] | None = None) -> dict[int, float]:
    """Mean relative gain over `other` of the same seed, percent, over these tasks or those of both."""
    names = _names(other) if names is None else names
    tasks = [task for task in row.tasks if task.name in names]
    keys = [f"{task.name}/{task.headline}" for task in tasks]
    return {
        seed: delta(metrics, other.metrics[seed], tasks)
        for seed, metrics in row.metrics.items()
        if tasks
        and seed in other.metrics
        and all(k in metrics and other.metrics[seed].get(k) for k in keys)
    }


def _interval(values: Mapping[int, float]) -> Interval | None:
    return paired(values, dict.fromkeys(values, 0.0))


def _shares(row: Row, low: Row, high: Row, task: Compared) -> list[float]:
    own, start, end = (_seeds(r, f"{task.name}/{task.headline}") for r in (row, low, high))
    shares = [
        share_closed(row.metrics[s], low.metrics[s], high.metrics[s], [task])[task.name]
        for s in own
        if s in start and s in end
    ]
    return [100.0 * share for share in shares if not math.isnan(share)]


def _seeds(row: Row, key: str, factor: float = 1.0) -> Mapping[int, float]:
    return {seed: factor * m[key] for seed, m in row.metrics.items() if key in m}


def _rows(rows: Sequence[Row], name: str, option: str) -> list[Row]:
    """The rows of a name, one a task set."""
    found = [row for row in rows if row.name == name]
    if not found:
        raise RunError(f"`{option}`: {nearest(name, [row.name for row in rows], 'row')}")
    return found


def _of_same_tasks(row: Row, others: Sequence[Row]) -> Row | None:
    """What a row is compared with: the one on its tasks; where there is only one, that."""
    if len(others) == 1:
        return others[0]
    return next((other for other in others if _names(other) == _names(row)), None)


def _names(row: Row) -> set[str]:
    return {task.name for task in row.tasks}


def _told(row: Row, rows: Sequence[Row]) -> str:
    """Its name, with its tasks where another row of that name has others."""
    several = sum(other.name == row.name for other in rows) > 1
    return f"{row.name} {letters(t.name for t in row.tasks)}" if several else row.name


def _without(rows: Sequence[Row], others: Sequence[Row], *names: str) -> str:
    """Which rows are left out, as no row of these names has their tasks."""
    left = [
        _told(row, rows)
        for row in rows
        if row.name not in names and row.encoder != "-" and _of_same_tasks(row, others) is None
    ]
    return f" (not of {', '.join(left)}, whose tasks it has in no row)" if left else ""
