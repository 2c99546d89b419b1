"""Puts rows into a table that says what it may say, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crosstask.comparison.records import (
    SINGLE_TASK,
    Record,
    conflicts,
    find_runs,
    read_record,
)
from crosstask.comparison.rows import (
    ORDER,
    Row,
    baseline_of,
    fill_deltas,
    group,
    missing_baseline,
    row_of,
    trivial_row,
)
from crosstask.comparison.sections import Section
from crosstask.comparison.statistics import Interval, paired
from crosstask.runs import RunError
from crosstask.studies.study import letters

# headline -> (title, factor, digits, better)
UNITS = {
    "miou": ("mIoU %", 100.0, 2, "↑"),
    "rmse": ("RMSE m", 1.0, 3, "↓"),
    "mean": ("mErr °", 1.0, 2, "↓"),
    "f1": ("F1 %", 100.0, 2, "↑"),
}
NO_EXCHANGE, MATCHED_COMPUTE = "multi_task_matched", "compute_matched"


class ConflictError(RunError):
    """Runs that must not stand in one table; says in what they differ."""


@dataclass
class ComparisonTable:
    """Rows with deltas, and what they were compared with.

    Attributes:
        metrics: (task, headline) of the columns.
        sets: task sets that have a delta column, for example ("segmentation", "depth").
        paired: {control: {row index: interval}} of the row's largest delta minus the control's.
        notes: what a reader must know.
        sections: further tables, see `crosstask.comparison.sections`.
    """

    rows: list[Row]
    metrics: list[tuple[str, str]]
    sets: list[tuple[str, ...]]
    paired: dict[str, dict[int, Interval]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def set_of(self, row: Row) -> str:
        """The column of a row's full delta."""
        return letters(task.name for task in row.tasks)


def make_table(
    places: Sequence[Path | str],
    *,
    force: bool = False,
    baseline: str | None = None,
    cost: bool = True,
) -> ComparisonTable:
    """Reads runs and puts them into a table.

    Args:
        places: run directories, study lists, or folders of runs.
        force: compare runs of different protocol, split or code version all the same.
        baseline: architecture of the single-task runs: single_task or single_task_matched; by
            default the first that is there; "none" leaves delta out.
        cost: count parameters and multiply-accumulates.

    Raises:
        ConflictError: runs that must not be compared.
        RunError: unfinished or damaged runs, or a missing single-task baseline.
    """
    records = [read_record(path) for path in find_runs(places)]
    notes = []
    differing = conflicts(records)
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
    kind = baseline or _single_task_kind(records)
    means = {} if kind == "none" else baseline_of(records, kind)
    if kind != "none":
        _check_baseline(rows, means, kind)
    for row, members in zip(rows, groups, strict=True):
        row.baseline = members[0].architecture == kind
    trivial = [row for row in [trivial_row(records)] if row is not None]
    rows.sort(key=lambda row: (not row.baseline, len(row.tasks), row.encoder))
    table = ComparisonTable([*trivial, *rows], _columns(rows), _sets(rows), notes=notes)
    for row in table.rows:
        only = next(iter(means.values()), {}) if len(means) == 1 else {}
        fill_deltas(row, means.get(row.encoder, only), table.sets)
    _pair(table)
    _note(table, records, kind)
    return table


def _single_task_kind(records: Sequence[Record]) -> str:
    """The single-task architecture that delta is measured against unless one is named."""
    found = [record.architecture for record in records]
    return next((kind for kind in SINGLE_TASK if kind in found), SINGLE_TASK[0])


def _check_baseline(rows: Sequence[Row], means: dict[str, dict[str, float]], kind: str) -> None:
    for row in rows:
        missing = missing_baseline(row, means.get(row.encoder, {}))
        if missing:
            raise RunError(
                f"the baseline of {row.name} is missing: no {kind} run of {', '.join(missing)} "
                f"on {row.encoder} among these runs; train it (`--architecture {kind} --tasks "
                f"{missing[0]} --encoder {row.encoder}`, or `crosstask study`) and give it too"
            )


def _names(groups: Sequence[Sequence[Record]]) -> list[str]:
    """The study's name of a row, or what tells it from the others."""
    names = [members[0].row or _own_name(members[0]) for members in groups]
    for key in ("method", "encoder", "optimizer", "balancing", "width", "steps", "size"):
        if len(set(_labels(names, groups))) == len(names):
            break
        values = [_setting(members[0], key) for members in groups]
        if len(set(values)) > 1:
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
    if record.architecture == NO_EXCHANGE and options.get("match"):
        return MATCHED_COMPUTE
    shown = " ".join(f"{key}={value}" for key, value in options.items())
    return f"{record.architecture} {shown}".strip()


def _setting(record: Record, key: str) -> str:
    return record.encoder if key == "encoder" else str(record.config.get(key))


def _columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    tasks = {task.name: task for row in rows for task in row.tasks}
    known = [name for name in ORDER if name in tasks]
    return [(n, tasks[n].headline) for n in [*known, *(n for n in tasks if n not in known)]]


def _sets(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The task sets of the rows and, for partial deltas, their beginnings: S-D of S-D-N."""
    names = [tuple(task.name for task in row.tasks) for row in rows]
    found = {tasks[:n]: None for tasks in names for n in range(2, len(tasks) + 1)}
    return sorted(found, key=len)


def _pair(table: ComparisonTable) -> None:
    """Paired differences of the full delta to both controls with the same tasks and encoder."""
    for control in (NO_EXCHANGE, MATCHED_COMPUTE):
        found: dict[int, Interval] = {}
        for index, row in enumerate(table.rows):
            key = table.set_of(row)
            other = next(
                (
                    r
                    for r in table.rows
                    if r.name == control + "".join(row.name.partition(",")[1:])
                    and (r.encoder, r.tasks) == (row.encoder, row.tasks)
                ),
                None,
            )
            if other is None or other is row or row.baseline:
                continue
            interval = paired(row.deltas.get(key, {}), other.deltas.get(key, {}))
            if interval is not None:
                found[index] = interval
        if found:
            table.paired[control] = found


def _note(table: ComparisonTable, records: Sequence[Record], kind: str) -> None:
    if kind != "none":
        table.notes.append(
            f"Δ: mean relative gain in percent over the recorded {kind} runs (mean over their "
            "seeds) of the same dataset, encoder and protocol "
            f"({', '.join(dict.fromkeys(r.protocol for r in records))})."
        )
    numbers = [len(row.metrics) for row in table.rows if row.encoder != "-"]
    if max(numbers) > 1:
        table.notes.append("± is the sample standard deviation over seeds; one seed has none.")
    if table.paired:
        table.notes.append(
            "vs: difference of the full Δ, pairs of the same seed, with Student's 95 % interval."
        )
    for key in ("steps", "batch_size", "accumulate", "size", "width"):
        values = dict.fromkeys(str(r.config.get(key)) for r in records)
        if len(values) > 1:
            table.notes.append(f"Mind: runs differ in {key} ({', '.join(values)}).")
    fewer = [r.name for r in table.rows if r.encoder != "-" and len(r.metrics) < max(numbers)]
    if fewer:
        table.notes.append(f"Fewer seeds than the others: {', '.join(dict.fromkeys(fewer))}.")
