"""From runs to the rows of a table: one row for all seeds of one architecture and setting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.records import Record
from crosstask.experiments.comparison.statistics import Summary, summarise
from crosstask.experiments.studies.study import letters
from crosstask.metrics.delta import delta
from crosstask.tasks import Task

Metrics = Mapping[str, float]


@dataclass(kw_only=True)
class Row:
    """A line of a table.

    Attributes:
        name: what is shown.
        tasks: in order.
        metrics: {seed: {metric: value}}, only seeds that have every task; all where none has.
        cost: {"parameters": ..., "macs": ...} of one image; None for a trivial predictor.
        deltas: {task set ("S-D"): {seed: percent}}.
        control: which control it is, see `Record.control`.
        setting, probed: see `Record`.
        baseline_of: the task sets whose deltas are measured against it.
        left_out: seeds without a run for every task.
        incomplete: no seed has a run for every task.
        below: tasks in which it is worse than the linear probe, see `probe.fill_below`.
    """

    name: str
    encoder: str
    tasks: tuple[Task, ...]
    metrics: dict[int, dict[str, float]]
    cost: dict[str, int] | None = None
    baseline: bool = False
    deltas: dict[str, dict[int, float]] = field(default_factory=dict)
    control: str | None = None
    setting: str = ""
    probed: str = ""
    baseline_of: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()
    incomplete: bool = False
    below: tuple[str, ...] = ()

    def summary(self, metric: str) -> Summary | None:
        return summarise([m[metric] for m in self.metrics.values() if metric in m])


def group(records: Sequence[Record]) -> list[list[Record]]:
    """The runs of each row, in the order of first appearance.

    Raises:
        RunError: two runs of one row with the same seed and tasks.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        mates = groups.setdefault(record.key(), [])
        same = (record.seed, record.task_names)
        twin = next((m for m in mates if (m.seed, m.task_names) == same), None)
        if twin is not None:
            raise RunError(
                f"{twin.path} and {record.path} are the same run with the same seed "
                f"({record.seed}); give one of them"
            )
        mates.append(record)
    return list(groups.values())


def row_of(records: Sequence[Record], name: str, cost: bool = True) -> Row:
    """One row; the runs of single tasks are joined seed by seed."""
    tasks: dict[str, Task] = {}
    for record in records:
        tasks |= {task.name: task for task in record.tasks}
    ordered = in_table_order(tasks.values())
    joined: dict[int, dict[str, float]] = {}
    for record in records:
        values = {k: v for k, v in record.metrics.items() if not k.startswith("trivial/")}
        joined.setdefault(record.seed, {}).update(values)
    complete = {
        seed: values
        for seed, values in sorted(joined.items())
        if all(_headline(task) in values for task in ordered)
    }
    return Row(
        name=name,
        encoder=records[0].encoder,
        tasks=ordered,
        metrics=complete or dict(sorted(joined.items())),
        cost=_cost(records) if cost else None,
        control=records[0].control,
        setting=records[0].setting(),
        probed=records[0].probed(),
        left_out=tuple(seed for seed in sorted(joined) if complete and seed not in complete),
        incomplete=not complete,
    )


def trivial_row(records: Sequence[Record]) -> Row | None:
    """What is reached without looking at the image: the tasks' `constant` predictors.

    Of every seed where each has scenes of its own, else of the first run.
    """
    tasks: dict[str, Task] = {}
    found: dict[int, dict[str, float]] = {}
    for record in records:
        for task in record.tasks:
            key = f"trivial/{_headline(task)}"
            if key in record.metrics:
                tasks.setdefault(task.name, task)
                values = found.setdefault(record.seed if record.own_scenes else 0, {})
                values.setdefault(_headline(task), record.metrics[key])
    if not tasks:
        return None
    ordered = in_table_order(tasks.values())
    return Row(name="trivial predictor", encoder="-", tasks=ordered, metrics=found)


def fill_deltas(
    row: Row, baseline: Callable[[Row, tuple[str, ...]], Metrics], sets: Sequence[tuple[str, ...]]
) -> None:
    """Full and partial deltas: every task set that both the row and the baseline cover.

    Args:
        baseline: (row, task set) -> what the column of that set is measured against.
    """
    for wanted in sets:
        metrics = baseline(row, wanted)
        # A relative change from 0 is not defined.
        own = [task.name for task in row.tasks if metrics.get(_headline(task))]
        if any(name not in own for name in wanted):
            continue
        tasks = [task for task in row.tasks if task.name in wanted]
        row.deltas[letters(wanted)] = {
            seed: delta(values, metrics, tasks)
            for seed, values in row.metrics.items()
            if all(_headline(task) in values for task in tasks)
        }


def missing(row: Row, baseline: Metrics) -> list[str]:
    """Tasks of a row that a baseline lacks."""
    return [task.name for task in row.tasks if _headline(task) not in baseline]


def means(row: Row) -> dict[str, float]:
    """{headline: mean over the seeds}, as the row shows it."""
    found = {_headline(task): row.summary(_headline(task)) for task in row.tasks}
    return {key: summary.mean for key, summary in found.items() if summary is not None}


def _headline(task: Task) -> str:
    return f"{task.name}/{task.headline}"


def in_table_order(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks as tables show them; those without a place of their own in the order given."""
    return tuple(sorted(tasks, key=lambda task: task.table_place))


def _cost(records: Sequence[Record]) -> dict[str, int]:
    """Parameters and multiply-accumulates of one image, single-task networks added up."""
    from crosstask.engine.rebuilding import build
    from crosstask.models.flops import count_macs

    total = {"parameters": 0, "macs": 0}
    counted: set[frozenset[str]] = set()
    for record in records:
        if record.task_names in counted:
            continue
        counted.add(record.task_names)
        network, _ = build(record.model, record.path, trust=True)  # `read_record` was asked
        parts = count_macs(network, record.size)["total"]
        total = {key: total[key] + parts[key] for key in total}
    return total
