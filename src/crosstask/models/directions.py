"""What every exchange shares: ordered tasks, and directions between them that can be knocked out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Exchange(nn.Module):
    """``{task: features} -> {task: features}``, same keys, same shapes, in the order of the tasks.

    Attributes:
        tasks: names, in order; at least two.
        cuts: directions (source, target) that are knocked out, and how; see `cut`.

    Raises:
        ValueError: fewer than two tasks, or one of them twice.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        check_tasks(tasks)
        self.tasks = tuple(tasks)
        self.cuts: dict[tuple[str, str], str] = {}

    def others(self, task: str) -> list[str]:
        """The other tasks, in order."""
        return [other for other in self.tasks if other != task]

    @contextmanager
    def cut(self, source: str, target: str, mode: str = "mean") -> Iterator[None]:
        """Knock one direction out inside a ``with`` block, to see what it was worth.

        ``mean`` puts the mean over the batch and all positions in the place of what `target` reads
        from `source` (all that the picture says is gone, the level that the fusion is used to
        stays); ``zero`` puts zeros. Cuts nest.
        """
        self.check_direction(source, target)
        if mode not in ("mean", "zero"):
            raise ValueError(f"`mode` is {mode!r}; expected 'mean' or 'zero'.")
        before = dict(self.cuts)
        self.cuts = {**before, (source, target): mode}
        try:
            yield
        finally:
            self.cuts = before

    def check_direction(self, source: str, target: str) -> None:
        """Both are tasks of this exchange, and different."""
        if source == target or source not in self.tasks or target not in self.tasks:
            raise ValueError(
                f"direction {source!r} to {target!r} does not exist; expected two of {self.tasks}."
            )

    def alphas(self) -> dict[tuple[str, str], Tensor]:
        """Learned scales of the directions (source, target), where the exchange has any."""
        return {}

    def singled_out(self) -> tuple[str, ...]:
        """Targets into which a direction is cut, in order: what they read is formed on its own."""
        cut = [target for _, target in self.cuts]
        return tuple(task for task in self.tasks if task in cut)

    def knock_out(
        self,
        x: Float[Tensor, "b c *h"],
        source: str,
        target: str,
        part: str = "",
        positions: bool = True,
    ) -> Float[Tensor, "b c *h"]:
        """What `target` reads from `source`, without its content if that direction is cut.

        Args:
            part: which one, where a direction reads several things.
            positions: whether the axes after the second are positions. A summary of whole
                pictures has none, and is averaged over pictures alone.
        """
        mode = self.cuts.get((source, target))
        if mode is None:
            return x
        if mode == "zero":
            return torch.zeros_like(x)
        axes = (0, *range(2, x.ndim)) if positions else (0,)
        return x.mean(axes, keepdim=True).expand_as(x)


def check_tasks(tasks: Sequence[str]) -> None:
    """An exchange needs at least two different tasks."""
    if len(tasks) < 2 or len(set(tasks)) != len(tasks):
        raise ValueError(
            f"`tasks` is {tuple(tasks)}; an exchange needs at least two different tasks; "
            "for one task take the architecture 'single_task' or 'single_task_matched'."
        )


def sums_of_others(maps: list[Float[Tensor, "*shape"]]) -> list[Float[Tensor, "*shape"]]:
    """For each of n maps the sum of the n - 1 others, in about 3n additions.

    Sums from the left and from the right are combined, so that nothing is subtracted and nothing
    cancels. The list is emptied on the way: a map is let go as soon as nothing needs it.
    """
    from_right: list[Tensor] = []
    for x in maps[:0:-1]:
        from_right.append(from_right[-1] + x if from_right else x)
    sums: list[Tensor] = []
    left: Tensor | None = None
    while maps:
        right = from_right.pop() if from_right else None
        if left is not None and right is not None:
            sums.append(left + right)
        else:
            only = left if left is not None else right
            assert only is not None
            sums.append(only)
        x = maps.pop(0)
        left = x if left is None else left + x
    return sums
