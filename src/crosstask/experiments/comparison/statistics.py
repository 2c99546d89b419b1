"""Means, spreads and paired intervals over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
    """A mean of paired differences with its 95 % interval; None where one pair gives none."""

    mean: float
    half_width: float | None
    pairs: int

    @property
    def above_zero(self) -> bool:
        return self.half_width is not None and self.mean - self.half_width > 0


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

    mean(d) +- t(0.975, n-1) sd(d) / sqrt(n) for d = value - other of the same seed.
    """
    seeds = [seed for seed in values if seed in others]
    summary = summarise([values[s] - others[s] for s in seeds])
    if summary is None:
        return None
    if summary.spread is None:
        return Interval(summary.mean, None, 1)
    from scipy.stats import t

    quantile = float(t.ppf(0.975, summary.number - 1))
    return Interval(
        summary.mean, quantile * summary.spread / math.sqrt(summary.number), summary.number
    )
