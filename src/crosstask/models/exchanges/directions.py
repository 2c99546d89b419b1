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
        means: what `record_means` noted: (source, target, part) to a mean and the number of
            images that it is of.

    Raises:
        ValueError: fewer than two tasks, or one of them twice.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        check_tasks(tasks)
        self.tasks = tuple(tasks)
        self.cuts: dict[tuple[str, str], str] = {}
        self.means: dict[tuple[str, str, str], tuple[Tensor, int]] = {}
        self.recording = False

    def others(self, task: str) -> list[str]:
        """The other tasks, in order."""
        return [other for other in self.tasks if other != task]

    @contextmanager
    def cut(self, source: str, target: str, mode: str = "mean") -> Iterator[None]:
        """Knock one direction out inside a ``with`` block, to see what it was worth.

        ``mean`` puts a mean in the place of what `target` reads from `source`: over all positions
        and over the images that passed inside `record_means`. What the image says is gone, the
        level that the fusion is used to stays. Without such a record the mean is that of the batch,
        so that an image's own mean is part of it, and the result depends on the batch. ``zero``
        puts zeros. Cuts nest.
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

    @contextmanager
    def record_means(self) -> Iterator[None]:
        """Note the mean of what each direction reads inside a ``with`` block, for `cut` to use.

        Every image counts once. The means stay until the next record.
        """
        self.means, self.recording = {}, True
        try:
            yield
        finally:
            self.recording = False

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
        """Targets whose reads pass `knock_out` one by one, where others share a sum, in order.

        Those into which a direction is cut; all of them while means are recorded.
        """
        cut = [target for _, target in self.cuts]
        return tuple(task for task in self.tasks if self.recording or task in cut)

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
                images has none, and is averaged over images alone.
        """
        axes = (0, *range(2, x.ndim)) if positions else (0,)
        if self.recording:
            self._note((source, target, part), x.detach(), axes)
        mode = self.cuts.get((source, target))
        if mode is None:
            return x
        if mode == "zero":
            return torch.zeros_like(x)
        if (source, target, part) in self.means:
            return self.means[source, target, part][0].to(x).expand_as(x)
        return x.mean(axes, keepdim=True).expand_as(x)

    def _note(self, key: tuple[str, str, str], x: Tensor, axes: tuple[int, ...]) -> None:
        """Take the images of `x` into the running mean of one direction, in float32 at least."""
        precise = torch.promote_types(x.dtype, torch.float32)
        mean, count = x.mean(axes, keepdim=True, dtype=precise), x.shape[0]
        if key in self.means:
            before, seen = self.means[key]
            mean, count = before + (mean - before) * (count / (seen + count)), seen + count
        self.means[key] = (mean, count)


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
