"""How much a network loses on another domain, and how much of that an adaptation wins back."""

import math
from collections.abc import Mapping, Sequence

from crosstask.metrics.delta import Compared

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
    metrics: Metrics, source_only: Metrics, oracle: Metrics, tasks: Sequence[Compared]
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


def _value(metrics: Metrics, key: str, name: str) -> float:
    if key not in metrics:
        raise KeyError(f"`{name}` has no {key!r}; evaluate it on the target with the same tasks")
    return metrics[key]
