"""What every exchange shares: ordered tasks, attention that can be read, directions that can be cut."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Exchange(nn.Module):
    """``{task: features} -> {task: features}``, same keys, same shapes, in the order of the tasks.

    A subclass implements `forward` and passes what a target reads from a source through `knock_out`.
    One with attention over positions sets `has_attention` and implements `attention_row`; one that
    scales what it reads by learned vectors returns them from `alphas`.

    Attributes:
        has_attention: whether `attention` may be asked.
        recomputes_parts: whether `recompute` is followed inside, part by part.
        economical: how it runs, not what it computes: False takes one operation for each in the
            equations, as published costs are counted, where the exchange has a cheaper way.
        recompute: run again in the backward pass instead of keeping activations.
        tasks: names, in order; at least two.
        cuts: directions (source, target) that are knocked out, and how; see `cut`.
        means: what `record_means` noted: (source, target, part) to a mean and the number of
            images that it is of.

    Raises:
        ValueError: fewer than two tasks, or one of them twice.
    """

    has_attention: ClassVar[bool] = False
    recomputes_parts: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        check_tasks(tasks)
        self.tasks = tuple(tasks)
        self.cuts: dict[tuple[str, str], str] = {}
        self.means: dict[tuple[str, str, str], tuple[Tensor, int]] = {}
        self.recording = False
        self.economical = True
        self.recompute = False

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

    def attention(
        self,
        features: dict[str, Float[Tensor, "b c h w"]],
        target: str,
        source: str,
        pixel: tuple[int, int],
    ) -> Float[Tensor, "b hs ws"]:
        """Weights with which `target` at `pixel` reads `source`: one row of a matrix never stored.

        Args:
            features: what the exchange reads (before the exchange).
            target, source: the direction.
            pixel: row and column, in positions of these features.

        Returns:
            weights over the source's attention grid, which sum to 1, or to the source's share where
            sources compete in one softmax.

        Raises:
            ValueError: a direction that does not exist or has no attention over positions.
        """
        self.check_read(source, target)
        return self.attention_row(features, target, source, pixel)

    def attention_row(
        self, features: dict[str, Tensor], target: str, source: str, pixel: tuple[int, int]
    ) -> Float[Tensor, "b hs ws"]:
        """What `attention` returns, for a direction that exists."""
        raise ValueError(f"{type(self).__name__} has no attention over positions.")

    def check_read(self, source: str, target: str) -> None:
        """`attention` may be asked for this direction, else a ValueError says why not."""
        self.check_direction(source, target)

    def alphas(self) -> dict[tuple[str, str], Float[Tensor, " c"]]:
        """Learned scales of the directions (source, target), detached, where there are any."""
        return {}

    def alphas_by_target(
        self, alpha: nn.ParameterDict
    ) -> dict[tuple[str, str], Float[Tensor, " c"]]:
        """One vector per target, given for each of its sources."""
        return {
            (source, target): alpha[target].detach()
            for target in self.tasks
            if target in alpha
            for source in self.others(target)
        }

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
