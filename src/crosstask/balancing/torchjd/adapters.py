"""TorchJD's scalarisers and aggregators as balancers."""

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from crosstask.balancing.balancer import (
    Balancer,
    check_weights,
    mean_over_processes,
    processes,
    same_on_processes,
    synchronised,
    weighted,
)
from crosstask.balancing.torchjd.library import has_history, torchjd_part
from crosstask.balancing.torchjd.state import move, restore, saved

# Batches of an epoch for methods that compare epochs (DWA), where the run's length is not given;
# else an epoch is one pass over the data, but at most a tenth of the run.
EPOCH = 250


EPOCHS_OF_A_RUN = 10

# Scalarisers whose weights do not depend on the losses of the batch itself.
LINEAR = frozenset({"Constant", "DWA", "IMTLL", "Mean", "Random", "Sum", "UW"})

# Where a checkpoint has the histories of steps without some task; no part of a method is called so.
HISTORIES = "histories of other sets of tasks"


class TorchJDMethod(Balancer):
    """What both kinds share: weights, and state that TorchJD itself does not save.

    Some methods (DWA, GradVac, NashMTL) keep their history in plain attributes, without a state
    dict. It travels as this module's extra state; learned parameters are ordinary parameters.

    Args:
        method: a scalariser or aggregator.
        tasks: names of the tasks, in order.
        weights: constant weights applied before.
    """

    place: Tensor

    def __init__(
        self, method: nn.Module, tasks: Sequence[str], weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.weights = check_weights(weights)
        self.learned = nn.ParameterList(method.parameters())
        self._method = [method]  # in a list: its buffers come and go, so they are extra state
        self.register_buffer("place", torch.empty(0), persistent=False)

    @property
    def method(self) -> nn.Module:
        return self._method[0]

    def rows(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One weighted loss a task; an auxiliary loss joins the task that its name names."""
        rows = {task: losses[task] * self.weights.get(task, 1.0) for task in self.tasks}
        for name, loss in weighted(losses, self.weights).items():
            if name not in rows:
                owner = self._owner(name)
                rows[owner] = rows[owner] + loss
        return rows

    def _owner(self, name: str) -> str:
        parts = name.split("/")  # "auxiliary/depth"
        named = [t for t in self.tasks if t in parts]
        named += [t for t in self.tasks if any(part.startswith(t) for part in parts)]
        return named[0] if named else self.tasks[0]

    def get_extra_state(self) -> dict[str, Any]:
        return saved(self.method)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        restore(self.method, state, self.place.device)

    def _apply(self, fn: Any, recurse: bool = True) -> "TorchJDMethod":
        super()._apply(fn, recurse)
        move(self.method, fn, self.place.device)
        return self


class TorchJDScalarizer(TorchJDMethod):
    """A scalariser: the losses become one number.

    Args:
        epoch: batches after which `step` is called on methods that compare epochs (DWA); 0 never;
            None one pass over the data or a tenth of the run (see `plan`), whatever is shorter.
    """

    def __init__(
        self,
        method: nn.Module,
        tasks: Sequence[str],
        weights: Mapping[str, float],
        epoch: int | None = 0,
    ) -> None:
        super().__init__(method, tasks, weights)
        self.asked, self.one_pass, self.longest = epoch, EPOCH, EPOCH
        self.whole_step = type(method).__name__ not in LINEAR
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @property
    def epoch(self) -> int:
        """Batches of an epoch in this process; 0 where the method knows none."""
        if self.asked is not None:
            return self.asked
        return max(1, min(self.one_pass // processes(), self.longest))

    def plan(self, batches: int, one_pass: int) -> None:
        self.one_pass, self.longest = one_pass, batches // EPOCHS_OF_A_RUN
        if 2 * self.epoch >= batches:
            warnings.warn(
                f"{type(self.method).__name__} compares two epochs of {self.epoch} batches, and the "
                f"run has {batches}: its weights never move; train longer"
                + (", or leave `epoch` out" if self.asked else ""),
                stacklevel=2,
            )

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        total = self.total(torch.stack(list(self.rows(synchronised(losses)).values())))
        self.batches: Tensor = self.batches + 1
        epoch = self.epoch
        if epoch and int(self.batches) % epoch == 0:
            self.end_epoch()
        return total

    def total(self, values: Tensor) -> Tensor:
        """One number from the weighted losses, in the order of the tasks; 0 where a label lacks."""
        if type(self.method).__name__ == "GeometricMean":  # of what is not 0: of tasks with labels
            labelled = values.detach() > 0
            if not bool(labelled.any()):
                return values.sum()
            values = values[labelled]
        return cast(Tensor, self.method(values))

    def end_epoch(self) -> None:
        """Called after the last batch of an epoch, where the method knows any."""
        cast(Any, self.method).step()


class TorchJDAggregator(TorchJDMethod):
    """An aggregator: the tasks' gradients of the shared parameters become one.

    Other parameters get the gradient of the sum of the weighted losses. Exact whatever the number
    of supervised levels: TorchJD fills the Jacobian of the shared parameters, and an ordinary
    backward pass fills every gradient, of which those of the shared parameters are then replaced.
    Accumulated batches and several processes add up in the Jacobian, which is aggregated once a
    step, so a step does not depend on how its batch was split. A task that has no gradient (no
    labels in the step) does not count.

    Methods with a history of each task (GradVac's cosines, PCD's sizes, ExcessMTL's weights) keep
    one history for each set of tasks that had labels together, so that none is taken for another's.
    PCD puts the first task above the others; in a step without its labels nothing holds these
    back, and their gradients are added up. Nash-MTL is built for a number of tasks: in such
    steps it takes the weights of the last step in which every task had labels.

    Memory: one gradient of the shared parameters per task; ExcessMTL's history is as large again,
    for each set of tasks.
    """

    compares_gradients = True

    def __init__(
        self, method: nn.Module, tasks: Sequence[str], weights: Mapping[str, float]
    ) -> None:
        super().__init__(method, tasks, weights)
        self._others: dict[str, nn.Module] = {}  # {"101": for the first and the third task}
        self._warned = False

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(list(self.rows(losses).values())).sum()

    def backward(
        self,
        total: Tensor,
        losses: Mapping[str, Tensor],
        shared: Sequence[nn.Parameter],
        scale: float = 1.0,
    ) -> None:
        if shared:
            rows = [row * scale for row in self.rows(losses).values()]
            torchjd_part("autojac").backward(
                rows, inputs=shared, retain_graph=True, parallel_chunk_size=1
            )
        super().backward(total, losses, shared, scale)

    @torch.no_grad()
    def finish(self, shared: Sequence[nn.Parameter]) -> None:
        if not shared or not hasattr(shared[0], "jac"):  # set by TorchJD's backward
            return
        parts = [cast(Tensor, cast(Any, p).jac) for p in shared]
        jacobian = mean_over_processes(torch.cat([part.flatten(1) for part in parts], dim=1))
        for parameter in shared:
            del cast(Any, parameter).jac
        method = self.method
        if not self._sized():
            labelled = jacobian.abs().amax(dim=1) > 0
            jacobian = jacobian[labelled]
            method = self._method_of(labelled.tolist())
        vector = jacobian.sum(0)
        if len(jacobian) > 1:
            vector = cast(Tensor, method(jacobian)).to(vector)
        pieces = same_on_processes(vector).split([p.numel() for p in shared])
        for parameter, piece in zip(shared, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).clone()

    def _sized(self) -> bool:
        """Whether the method was built for a number of tasks."""
        built_for = "n_tasks" in inspect.signature(type(self.method)).parameters
        # Attributes of some of TorchJD's methods: one number a task.
        per_task = ("pref_vector", "leak")
        return built_for or any(getattr(self.method, name, None) is not None for name in per_task)

    def _method_of(self, labelled: list[bool]) -> nn.Module:
        """The method with the history of steps in which these tasks, and no others, had labels."""
        if type(self.method).__name__ == "PCD" and not labelled[0] and any(labelled):
            self._warn_of_no_first_task()
            return torchjd_part("aggregation").Sum()
        if all(labelled) or sum(labelled) < 2 or not has_history(self.method):
            return self.method
        key = "".join("1" if one else "0" for one in labelled)
        if key not in self._others:
            other = copy.deepcopy(self.method)
            cast(Any, other).reset()
            if type(other).__name__ == "PCD" and isinstance(cast(Any, other).tau, Tensor):
                cast(Any, other).tau = cast(Any, other).tau[labelled[1:]]
            self._others[key] = other
        return self._others[key]

    def _warn_of_no_first_task(self) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"`balancing` is pcd, which puts {self.tasks[0]} (the first task) above the others, and a "
            "step has no label of it; in such steps the gradients of the others are added up; name a "
            "task first that is always labelled, or take another method",
            stacklevel=2,
        )

    def get_extra_state(self) -> dict[str, Any]:
        others = {key: saved(method) for key, method in self._others.items()}
        return super().get_extra_state() | ({HISTORIES: others} if others else {})

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state({key: v for key, v in state.items() if key != HISTORIES})
        self._others = {}
        for key, history in state.get(HISTORIES, {}).items():
            method = self._method_of([one == "1" for one in key])
            restore(method, history, self.place.device)

    def _apply(self, fn: Any, recurse: bool = True) -> "TorchJDMethod":
        super()._apply(fn, recurse)
        for method in self._others.values():
            move(method, fn, self.place.device)
        return self
