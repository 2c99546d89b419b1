"""Means, spreads and paired intervals over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

K = TypeVar("K")


@dataclass(frozen=True)
class Summary:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        spread: sample standard deviation (n - 1); None for one value, which has none.
        number: of values.
    """

    mean: float
    spread: float | None
    number: int


@dataclass(frozen=True)
class Interval:
    """A mean of paired differences with its 95 % interval; None where one pair gives none.

    Attributes:
        p: of Student's paired test, two-sided, that the mean is 0.
        adjusted: `p` after `holm` over the rows that are compared.
    """

    mean: float
    half_width: float | None
    pairs: int
    p: float | None = None
    adjusted: float | None = None


def summarise(values: Sequence[float]) -> Summary | None:
    """The mean and the sample standard deviation; None without values."""
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Summary(mean, None, 1)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return Summary(mean, math.sqrt(variance), len(values))


def paired(values: Mapping[int, float], others: Mapping[int, float]) -> Interval | None:
    """Mean difference over the seeds that both have, with Student's 95 % interval.

    mean(d) +- t(0.975, n-1) sd(d) / sqrt(n) for d = value - other of the same seed. A seed in which one
    of them is not a number (a task without labels) is no pair.
    """
    differences = [value - others[seed] for seed, value in values.items() if seed in others]
    summary = summarise([d for d in differences if not math.isnan(d)])
    if summary is None:
        return None
    if summary.spread is None:
        return Interval(summary.mean, None, 1)
    from scipy.stats import t

    free = summary.number - 1
    error = summary.spread / math.sqrt(summary.number)
    p = 2 * float(t.sf(abs(summary.mean) / error, free)) if error else float(summary.mean == 0)
    return Interval(summary.mean, float(t.ppf(0.975, free)) * error, summary.number, p)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the smallest of m values times m, the next times m - 1, never
    falling, at most 1. All that stay at or below 0.05 hold together at that level."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def adjusted(intervals: Mapping[K, Interval]) -> dict[K, Interval]:
    """The intervals with `adjusted` values, over all that have a p."""
    tested = {key: found.p for key, found in intervals.items() if found.p is not None}
    values = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {key: replace(found, adjusted=values.get(key)) for key, found in intervals.items()}
