"""How much a network loses on another domain, and how much of that an adaptation wins back."""

import math
from collections.abc import Mapping, Sequence

from crosstask.metrics.delta import delta
from crosstask.tasks import Task

Metrics = Mapping[str, float]


def domain_gap(source_only: Metrics, oracle: Metrics, key: str = "score") -> float:
    """Share of the oracle's value that a network trained on the source alone loses.

    (oracle - source_only) / oracle, on the target's validation split; 0.25 means that a quarter of
    the `score` is lost. Only for numbers that grow with quality.

    Raises:
        KeyError: a metric is missing (named).
    """
    ours, theirs = _value(source_only, key, "source_only"), _value(oracle, key, "oracle")
    return (theirs - ours) / theirs


def share_closed(
    metrics: Metrics, source_only: Metrics, oracle: Metrics, tasks: Sequence[Task]
) -> dict[str, float]:
    """{task: share of the gap that is closed}, on each task's headline metric.

    (m - source_only) / (oracle - source_only): 0 is no better than the source alone, 1 as good as
    labels of the target. NaN where the oracle is not better than the source alone: there is no gap.
    A task that `metrics` lacks is left out.
    """
    shares = {}
    for task in tasks:
        key = f"{task.name}/{task.headline}"
        if key not in metrics:
            continue
        low, high = _value(source_only, key, "source_only"), _value(oracle, key, "oracle")
        width = high - low if task.higher_is_better else low - high
        gain = metrics[key] - low if task.higher_is_better else low - metrics[key]
        shares[task.name] = gain / width if width > 0 else math.nan
    return shares


def gap_table(
    rows: Mapping[str, Metrics],
    tasks: Sequence[Task],
    *,
    source_only: str,
    oracle: str,
    reference: str | None = None,
    extra: Sequence[str] = (),
) -> str:
    """A Markdown table: headline metrics, share of the gap closed, delta against a reference row.

    Args:
        rows: {name: metrics on the target's validation split}.
        source_only, oracle: names of the two ends of the gap.
        reference: row that delta is measured against (single-task adaptation), or None.
        extra: further metrics to show, for example "depth/median_scaled/rmse".
    """
    keys = [f"{task.name}/{task.headline}" for task in tasks] + list(extra)
    head = ["", *keys, *[f"gap closed, {task.name}" for task in tasks]]
    head += ["delta, %"] if reference is not None else []
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, metrics in rows.items():
        shares = share_closed(metrics, rows[source_only], rows[oracle], tasks)
        cells = [name]
        cells += [f"{metrics[key]:.3f}" if key in metrics else "" for key in keys]
        cells += [_percent(shares.get(task.name)) for task in tasks]
        if reference is not None:
            cells.append(_delta(metrics, rows[reference], tasks))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _value(metrics: Metrics, key: str, name: str) -> float:
    if key not in metrics:
        raise KeyError(f"`{name}` has no {key!r}; evaluate it on the target with the same tasks")
    return metrics[key]


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    return "no gap" if math.isnan(share) else f"{100 * share:.0f} %"


def _delta(metrics: Metrics, reference: Metrics, tasks: Sequence[Task]) -> str:
    if any(f"{task.name}/{task.headline}" not in metrics for task in tasks):
        return ""
    return f"{delta(metrics, reference, tasks):+.1f}"
