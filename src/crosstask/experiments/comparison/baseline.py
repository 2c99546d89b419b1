"""What gains are measured against: the single-task networks, or any row of the table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.records import SINGLE_TASK, Record
from crosstask.experiments.comparison.rows import Metrics, Row, means, missing, row_of
from crosstask.experiments.studies.study import letters
from crosstask.suggest import nearest

# What a reader must know of a baseline.
_ABOUT = {
    "single_task": " single_task is the paper's baseline, whose head predicts at a sixteenth of the "
    "image: a part of Δ is DenseMTL's decoder.",
    "single_task_matched": " single_task_matched has DenseMTL's decoder, so that Δ is not the "
    "decoder's.",
}


@dataclass(frozen=True)
class Baseline:
    """What the deltas of a table are measured against.

    Attributes:
        kind: "single_task" or "single_task_matched", the name of a row, or "none".
        rows: of that name, one a task set; none for single-task networks.
        joint: {encoder: {metric: mean over seeds}} of the single-task networks.
    """

    kind: str
    rows: tuple[Row, ...] = ()
    joint: Mapping[str, Metrics] = field(default_factory=dict)

    def of(self, row: Row, tasks: Sequence[str]) -> Metrics:
        """The metrics that the gain of a row on these tasks is measured against; empty without any."""
        if self.rows:
            found = self.row_for(row.encoder, tasks)
            return {} if found is None else means(found)
        only = next(iter(self.joint.values()), {}) if len(self.joint) == 1 else {}
        return self.joint.get(row.encoder, only)

    def row_for(self, encoder: str, tasks: Sequence[str]) -> Row | None:
        """The row that a column of these tasks is measured against: it has them, and the fewest others.

        On the same encoder, or on the only one that there is. None where several have as few.
        """
        own = [row for row in self.rows if row.encoder == encoder]
        if not own and len({row.encoder for row in self.rows}) == 1:
            own = list(self.rows)
        covering = [row for row in own if {*tasks} <= {task.name for task in row.tasks}]
        fewest = min((len(row.tasks) for row in covering), default=0)
        found = [row for row in covering if len(row.tasks) == fewest]
        return found[0] if len(found) == 1 else None

    def mark(self, rows: Iterable[Row], sets: Sequence[tuple[str, ...]]) -> None:
        """Notes in its rows of which columns they are the baseline."""
        for row in rows:
            if row.baseline:
                own = [s for s in sets if not self.rows or self.row_for(row.encoder, s) is row]
                row.baseline_of = tuple(letters(tasks) for tasks in own)

    def told(self, rows: Iterable[Row], protocols: Iterable[str]) -> str:
        """The caption's sentence on it."""
        if self.kind == "none":
            return ""
        others = {row.encoder for row in self.rows}
        across = [r.name for r in rows if others and r.encoder not in (*others, "-")]
        encoder = "" if across else ", encoder"
        more = (
            f" On another encoder than it, so that Δ is the encoder's too: {', '.join(across)}."
            if across
            else ""
        )
        return (
            f"Δ: mean relative gain in percent over the recorded {self.kind} runs (mean over their "
            f"seeds) of the same dataset{encoder} and protocol ({', '.join(dict.fromkeys(protocols))})."
            f"{_ABOUT.get(self.kind, '')}{more}"
        )


def find_baseline(
    rows: Sequence[Row], groups: Sequence[Sequence[Record]], kind: str | None
) -> Baseline:
    """The baseline of that name; marks the rows it comes from.

    Args:
        groups: the runs of each row.
        kind: see `Baseline`; if left out, the single-task networks that there are.

    Raises:
        RunError: no such row, or single-task runs that are missing or of several settings.
    """
    records = [record for members in groups for record in members]
    kind = kind or _single_task_kind(records)
    if kind == "none":
        return Baseline(kind)
    if kind not in SINGLE_TASK:
        named = tuple(row for row in rows if row.name == kind)
        if not named:
            names = dict.fromkeys([*(row.name for row in rows), *SINGLE_TASK, "none"])
            raise RunError(nearest(kind, list(names), "baseline"))
        for row in named:
            row.baseline = True
        return Baseline(kind, named)
    for row, members in zip(rows, groups, strict=True):
        row.baseline = members[0].architecture == kind
    joint = _single_task_means(records, kind)
    _check(rows, joint, kind)
    return Baseline(kind, joint=joint)


def _single_task_kind(records: Sequence[Record]) -> str:
    """The single-task architecture that delta is measured against unless one is named."""
    found = [record.architecture for record in records]
    return next((kind for kind in SINGLE_TASK if kind in found), SINGLE_TASK[0])


def _single_task_means(records: Sequence[Record], kind: str) -> dict[str, Metrics]:
    """{encoder: {metric: mean over the seeds of the single-task runs}}, of seeds with every task.

    Raises:
        RunError: single-task runs that differ in more than task and seed.
    """
    found: dict[str, Metrics] = {}
    runs = [record for record in records if record.architecture == kind]
    for encoder in dict.fromkeys(record.encoder for record in runs):
        mine = [record for record in runs if record.encoder == encoder]
        if len({record.key() for record in mine}) > 1:
            raise RunError(
                f"the {kind} runs on {encoder} differ in more than task and seed: "
                f"{', '.join(record.path.name for record in mine)}; give those of one setting, or name "
                "the row of the table to measure against: `--baseline ROW`"
            )
        found[encoder] = means(row_of(mine, kind, cost=False))
    return found


def _check(rows: Sequence[Row], joint: Mapping[str, Metrics], kind: str) -> None:
    for row in rows:
        lacking = missing(row, joint.get(row.encoder, {}))
        if lacking:
            raise RunError(
                f"the baseline of {row.name} is missing: no {kind} run of {', '.join(lacking)} "
                f"on {row.encoder} among these runs; train it (`--architecture {kind} --tasks "
                f"{lacking[0]} --encoder {row.encoder}`, or `crosstask study`) and give it too, "
                "or measure the gain against another row (`--baseline ROW`)"
            )
