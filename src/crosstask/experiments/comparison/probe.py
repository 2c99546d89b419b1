"""Rows that are below the linear probe: nothing there may be called learned."""

from collections.abc import Sequence

from crosstask.experiments.comparison.records import PROBE
from crosstask.experiments.comparison.rows import Row
from crosstask.tasks import Task

SIGN = "†"


def fill_below(rows: Sequence[Row]) -> str:
    """Notes in every row the tasks in which its mean is worse than the linear probe's.

    The probe of a row has the same encoder, dataset and settings, but for the balancing of losses. Its encoder is frozen and its heads
    share nothing, so that the probe of other task sets counts where there is none of the row's own.

    Returns:
        A footnote that says what the sign means; empty where no row has it.
    """
    for row in rows:
        probes = [other for other in rows if other.control == PROBE and _alike(other, row)]
        probes.sort(key=lambda other: other.tasks != row.tasks)
        below = [task.name for task in row.tasks if _is_below(row, probes, task)]
        row.below = () if row.control == PROBE else tuple(below)
    if not any(row.below for row in rows):
        return ""
    return (
        f"{SIGN} below the linear probe ({PROBE}: frozen encoder, one 1x1 convolution a task, as many "
        "steps), mean over seeds: nothing was learned there that the encoder does not give."
    )


def _alike(probe: Row, row: Row) -> bool:
    return probe.encoder == row.encoder and probe.probed == row.probed


def _is_below(row: Row, probes: Sequence[Row], task: Task) -> bool:
    """Worse than the first of the probes that has the task."""
    key = f"{task.name}/{task.headline}"
    own = row.summary(key)
    other = next((found for found in (p.summary(key) for p in probes) if found is not None), None)
    if own is None or other is None:
        return False
    return own.mean < other.mean if task.higher_is_better else own.mean > other.mean
