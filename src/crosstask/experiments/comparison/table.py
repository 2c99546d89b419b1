"""Puts rows into a table that says what it may say, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.baseline import Baseline, find_baseline
from crosstask.experiments.comparison.probe import fill_below
from crosstask.experiments.comparison.records import (
    MATCHED_COMPUTE,
    NO_EXCHANGE,
    NOT_A_SETTING,
    PROBE,
    Record,
    allowed_to_vary,
    conflicts,
    find_runs,
    listed_baseline,
    read_record,
)
from crosstask.experiments.comparison.rows import (
    Row,
    fill_deltas,
    group,
    in_table_order,
    row_of,
    trivial_row,
)
from crosstask.experiments.comparison.sections import Section
from crosstask.experiments.comparison.statistics import Interval, adjusted, paired
from crosstask.experiments.studies.study import letters
from crosstask.plugins.find import short
from crosstask.plugins.trust import Trust
from crosstask.tasks import Task


class ConflictError(RunError):
    """Runs that must not stand in one table; says in what they differ."""


@dataclass
class ComparisonTable:
    """Rows with deltas, and what they were compared with.

    Attributes:
        metrics: (task, headline) of the columns.
        sets: task sets that have a delta column, for example ("segmentation", "depth").
        kind: what delta is measured against, see `Baseline.kind`.
        paired: {control: {row index: interval}} of the row's largest delta minus the control's.
        notes: what a reader must know.
        sections: further tables, see `crosstask.experiments.comparison.sections`.
    """

    rows: list[Row]
    metrics: list[tuple[str, str]]
    sets: list[tuple[str, ...]]
    kind: str = "none"
    paired: dict[str, dict[int, Interval]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    @property
    def tasks(self) -> dict[str, Task]:
        """{name: task} of all rows."""
        return {task.name: task for row in self.rows for task in row.tasks}

    def titles(self) -> list[str]:
        """Titles of the columns of `metrics`; with the task's name where two would be the same."""
        tasks = self.tasks
        titles = [tasks[name].column_title(headline) for name, headline in self.metrics]
        return [
            f"{name} {title}" if titles.count(title) > 1 else title
            for (name, _), title in zip(self.metrics, titles, strict=True)
        ]

    def set_of(self, row: Row) -> str:
        """The column of a row's full delta."""
        return letters(task.name for task in row.tasks)


def make_table(
    places: Sequence[Path | str],
    *,
    force: bool = False,
    baseline: str | None = None,
    cost: bool = True,
    trust: Trust = False,
) -> ComparisonTable:
    """Reads runs and puts them into a table.

    Args:
        places: run directories, study lists, or folders of runs.
        force: compare runs of different protocol, split or code version all the same.
        baseline: what delta is measured against: "single_task" or "single_task_matched", the
            name of any other row, or "none", which leaves delta out. By default what the study's
            list says, else the single-task runs that are there.
        cost: count parameters and multiply-accumulates.
        trust: which Python files that the runs name may run, see `crosstask.plugins.trust`.

    Raises:
        ConflictError: runs that must not be compared.
        RunError: unfinished or damaged runs, or a missing baseline.
    """
    records = [read_record(path, trust) for path in find_runs(places)]
    notes = []
    differing = conflicts(records, allowed_to_vary(places))
    if differing:
        text = "\n".join(differing)
        if not force:
            raise ConflictError(
                f"these runs must not stand in one table; they differ in\n{text}\n"
                "Give runs of one kind, or `--force` to compare them all the same"
            )
        notes.append("Compared by force although the runs differ in\n" + text)
    groups = group(records)
    rows = [
        row_of(members, name, cost) for members, name in zip(groups, _names(groups), strict=True)
    ]
    measured = find_baseline(rows, groups, baseline or listed_baseline(places))
    trivial = [row for row in [trivial_row(records)] if row is not None]
    rows.sort(key=lambda row: (not row.baseline, len(row.tasks), row.encoder))
    table = ComparisonTable(
        [*trivial, *rows], _columns(rows), _sets(rows), measured.kind, notes=notes
    )
    measured.mark(rows, table.sets)
    for row in table.rows:
        fill_deltas(row, measured.of, table.sets)
    _pair(table)
    _note(table, records, measured)
    return table


def _names(groups: Sequence[Sequence[Record]]) -> list[str]:
    """The study's name of a row, or what tells it from the others."""
    names = [members[0].row or _own_name(members[0]) for members in groups]
    first = ("method", "encoder", "optimizer", "balancing", "width", "steps", "size")
    others = dict.fromkeys(key for members in groups for key in members[0].config)
    further = (k for k in others if k not in (*first, *NOT_A_SETTING, "tasks"))
    for key in (*first, *further, "val_every"):
        labels = _labels(names, groups)
        values = [_setting(members[0], key) for members in groups]
        if len(set(zip(labels, values, strict=True))) > len(set(labels)):
            names = [f"{name}, {key} {value}" for name, value in zip(names, values, strict=True)]
    return names


def _labels(names: Sequence[str], groups: Sequence[Sequence[Record]]) -> list[tuple[str, str]]:
    """Name and task set: the same name with other tasks is told apart by its column."""
    return [
        (name, letters(t.name for t in members[0].tasks) if not members[0].single_task else "")
        for name, members in zip(names, groups, strict=True)
    ]


def _own_name(record: Record) -> str:
    options = record.config.get("options") or {}
    if record.control == MATCHED_COMPUTE:
        return MATCHED_COMPUTE
    shown = " ".join(f"{key}={short(str(value))}" for key, value in options.items())
    return f"{short(record.architecture)} {shown}".strip()


def _setting(record: Record, key: str) -> str:
    return record.encoder if key == "encoder" else str(record.config.get(key))


def _columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    tasks = {task.name: task for row in rows for task in row.tasks}
    return [(task.name, task.headline) for task in in_table_order(tasks.values())]


def _sets(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The task sets of the rows and, for partial deltas, their beginnings: S-D of S-D-N."""
    names = [tuple(task.name for task in row.tasks) for row in rows]
    found = {tasks[:n]: None for tasks in names for n in range(2, len(tasks) + 1)}
    return sorted(found, key=len)


def _pair(table: ComparisonTable) -> None:
    """Paired differences of the full delta to the controls that share all but the architecture."""
    for kind in (NO_EXCHANGE, MATCHED_COMPUTE):
        found: dict[int, Interval] = {}
        dearer: list[str] = []
        for index, row in enumerate(table.rows):
            controls = [other for other in table.rows if _is_control(other, kind, row)]
            if row.baseline or row.control in (kind, PROBE) or not controls:
                continue
            if len(controls) > 1:
                names = ", ".join(other.name for other in controls)
                table.notes.append(f"{row.name} is compared with none of its {kind} rows: {names}.")
                continue
            key = table.set_of(row)
            interval = paired(row.deltas.get(key, {}), controls[0].deltas.get(key, {}))
            if interval is not None:
                found[index] = interval
                if _costs_more(row, controls[0]):
                    dearer.append(row.name)
        if found:
            table.paired[kind] = adjusted(found)
        if kind == MATCHED_COMPUTE and dearer:
            table.notes.append(f"More arithmetic than their {kind}: {', '.join(dearer)}.")


def _is_control(other: Row, kind: str, row: Row) -> bool:
    return (
        other is not row
        and other.control == kind
        and other.setting == row.setting
        and {task.name for task in other.tasks} == {task.name for task in row.tasks}
    )


def _costs_more(row: Row, control: Row) -> bool:
    """More than a twentieth above the control's multiply-accumulates."""
    if row.cost is None or control.cost is None:
        return False
    return row.cost["macs"] > 1.05 * control.cost["macs"]


def _note(table: ComparisonTable, records: Sequence[Record], measured: Baseline) -> None:
    told = measured.told(table.rows, [record.protocol for record in records])
    table.notes += filter(None, [fill_below(table.rows), told])
    numbers = [len(row.metrics) for row in table.rows if row.encoder != "-"]
    if max(numbers) > 1:
        table.notes.append("± is the sample standard deviation over seeds; one seed has none.")
    if table.paired:
        table.notes.append(
            "vs: difference of the full Δ, pairs of the same seed, with Student's 95 % interval; p of "
            "the paired test, after Holm over the rows compared with that control "
            f"({', '.join(f'{len(found)} with {kind}' for kind, found in table.paired.items())})."
        )
    table.notes.append(_sample(records))
    table.notes += _differing_settings(records)
    for row in table.rows:
        if row.left_out:
            seeds = ", ".join(map(str, row.left_out))
            table.notes.append(f"{row.name}: seeds without a run for every task left out: {seeds}.")
        if row.incomplete:
            table.notes.append(
                f"{row.name}: no seed has a run for every task, its numbers are of different seeds."
            )
    fewer = [r.name for r in table.rows if r.encoder != "-" and len(r.metrics) < max(numbers)]
    if fewer:
        table.notes.append(f"Fewer seeds than the others: {', '.join(dict.fromkeys(fewer))}.")


def _sample(records: Sequence[Record]) -> str:
    """What the numbers were measured on, and at which checkpoint."""
    seeds = len({record.seed for record in records})
    sizes = sorted({r.scored_samples for r in records if r.scored_samples is not None})
    on = f", {' or '.join(map(str, sizes))} scored samples each" if sizes else ""
    scenes = (
        "with training and test scenes of its own" if records[0].own_scenes else "the same data"
    )
    number = f"{seeds} seeds, each {scenes}" if seeds > 1 else "one seed"
    return f"n: {number}{on}; scored checkpoint: {records[0].rule}."


def _differing_settings(records: Sequence[Record]) -> list[str]:
    """A note on the options, of those that all the runs have, in which they differ."""
    asked = [r.config for r in records]
    expected = (*NOT_A_SETTING, "tasks", "architecture", "options", "encoder")
    lines = []
    for key in asked[0]:
        values = sorted({str(config.get(key)) for config in asked})
        if key not in expected and len(values) > 1 and all(key in config for config in asked):
            lines.append(f"{key} ({', '.join(values)})")
    precisions = sorted({record.precision for record in records if record.precision})
    if len(precisions) > 1:
        lines.append(f"precision ({', '.join(precisions)})")
    return [f"Mind: runs differ in {'; '.join(lines)}."] if lines else []
