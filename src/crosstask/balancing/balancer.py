"""The interface of every balancing method."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

NEEDS_WHOLE_STEP = (
    "`accumulate` is above 1, and this `balancing` is not linear in the losses: of each accumulated "
    "batch alone it would be another method; take `--accumulate 1` with a larger `--batch-size`, or a "
    "linear method (paper, equal, uncertainty, dwa)"
)


class Balancer(nn.Module):
    """Turns `{task: loss}` into gradients.

    A *scalariser* weighs the losses and lets autograd do the rest: it writes `combine`. An
    *aggregator* looks at each task's gradient and combines those: it also writes `backward` and
    `finish`. State that must survive a resume lives in buffers, parameters or extra state.
    """

    compares_gradients: ClassVar[bool] = False
    """Whether it looks at each task's gradient of the parameters that all tasks share."""

    whole_step: bool = False
    """Whether `combine` needs the losses of a whole optimiser step, because it is not linear in
    them: of each accumulated batch alone it would be another method, so that is refused."""

    def plan(self, batches: int, one_pass: int) -> None:
        """Called before training, for methods that count epochs.

        Args:
            batches: of the whole run, in one process.
            one_pass: batches of one pass over the training data, of all processes.
        """

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of the (weighted) losses, a scalar; what is logged and differentiated."""
        raise NotImplementedError

    def backward(
        self,
        total: Tensor,
        losses: Mapping[str, Tensor],
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
    ) -> None:
        """Adds the gradients of one batch to the `.grad` of every parameter.

        Args:
            total: what `combine` returned for `losses`.
            losses: {task: loss}, and auxiliary terms under other names.
            shared: parameters that all tasks share.
            scale: what gradients are multiplied with: one over the number of accumulated batches.

        Raises:
            ValueError: batches are accumulated and the method needs whole steps.
        """
        if self.whole_step and scale != 1:
            raise ValueError(NEEDS_WHOLE_STEP)
        (total * scale).backward()

    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        """Called once an optimiser step, after its last batch and before gradients are clipped."""


def weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Every loss times its constant weight; 1 where none is given."""
    return {name: weights.get(name, 1.0) * loss for name, loss in losses.items()}


def is_number(value: Any, least: float = -math.inf) -> bool:
    """Whether a value is a finite number, and not below `least`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False
    return math.isfinite(number) and number >= least


def check_number(name: str, value: Any, expected: str, least: float = -math.inf) -> Any:
    """The value of an option.

    Args:
        name: of the option, as the error calls it.
        value: whatever was given.
        expected: what the error asks for.
        least: the smallest allowed.

    Raises:
        ValueError: no finite number, or one below `least`.
    """
    if not is_number(value, least):
        raise ValueError(f"`{name}` is {value!r}; expected {expected}")
    return value


def check_weights(weights: Mapping[str, Any]) -> dict[str, float]:
    """The weights as a dictionary; refuses what is no finite number, and negative ones."""
    wrong = {name: weight for name, weight in weights.items() if not is_number(weight, 0)}
    if wrong:
        raise ValueError(
            f"`weights` is {wrong}; expected finite, non-negative numbers, as in depth=1.5"
        )
    return dict(weights)


def processes() -> int:
    """How many processes share every batch."""
    ready = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if ready else 1


def synchronised(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Losses with the value of the whole batch and the gradient of this process's part.

    Where several processes share a batch, a method that decides by the value of a loss must see
    the same value everywhere, or the processes drift apart. Averaging the gradients (what the
    trainer does) then gives the gradient of the whole batch, for non-linear methods too.
    """
    if processes() == 1:
        return dict(losses)
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    dist.all_reduce(values)
    values /= processes()
    return {
        name: loss + (value - loss.detach()).to(loss.dtype)
        for (name, loss), value in zip(losses.items(), values.unbind(), strict=True)
    }


def mean_over_processes(value: Tensor) -> Tensor:
    """The average over all processes; the tensor itself where there is one."""
    if processes() > 1:
        dist.all_reduce(value)
        value /= processes()
    return value


def same_on_processes(value: Tensor) -> Tensor:
    """The first process's value on all of them: for methods that draw random numbers."""
    if processes() > 1:
        dist.broadcast(value, 0)
    return value
