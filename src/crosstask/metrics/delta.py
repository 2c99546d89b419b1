"""The multi-task gain over single-task networks."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Compared(Protocol):
    """What `delta` reads of a task."""

    @property
    def name(self) -> str: ...
    @property
    def headline(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...


def delta(
    metrics: Mapping[str, float], baseline: Mapping[str, float], tasks: Sequence[Compared]
) -> float:
    """Multi-task gain in percent: mean over `tasks` of the signed relative change.

    100/n sum_i (-1)^g_i (m_i - b_i) / b_i with g = 1 where lower is better (Maninis et al., CVPR
    2019; DenseMTL, section 4.1), over mIoU, RMSE, mean angle and F1.

    Args:
        metrics: of the multi-task network, `{"depth/rmse": ...}`.
        baseline: of the single-task networks, same keys.
        tasks: those that count. Fewer than the network has gives a partial gain, e.g. the S-D
            gain of an S-D-N network.

    Raises:
        KeyError: a needed metric is missing (named).
        ValueError: a baseline is zero, or there are no tasks.
    """
    if not tasks:
        raise ValueError("`tasks` is empty; expected at least one task to compare")
    total = 0.0
    for task in tasks:
        key = f"{task.name}/{task.headline}"
        for source, values in (("metrics", metrics), ("baseline", baseline)):
            if key not in values:
                raise KeyError(f"`{source}` has no {key!r}; evaluate that task, or leave it out")
        if baseline[key] == 0:
            raise ValueError(f"`baseline` has {key!r} = 0; a relative change is not defined")
        change = (metrics[key] - baseline[key]) / baseline[key]
        total += change if task.higher_is_better else -change
    return 100 * total / len(tasks)
