"""TorchJD's scalarisers and aggregators as balancers."""

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
from crosstask.balancing.torchjd.library import torchjd_part
from crosstask.balancing.torchjd.state import _living, _plain, _state, _states

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
        return {name: _plain(state) for name, state in _states(self.method).items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        modules = dict(self.method.named_modules())
        for name, values in state.items():
            for key, value in values.items():
                setattr(modules[name], key, _living(value, self.place.device))
            if type(modules[name]).__name__ == "_NashMTLWeighting" and values.get("step"):
                cast(Any, modules[name])._init_optim_problem()  # which it does at step 0 alone

    def _apply(self, fn: Any, recurse: bool = True) -> "TorchJDMethod":
        super()._apply(fn, recurse)
        for module in self.method.modules():
            for key, value in _state(module).items():
                if isinstance(value, Tensor):
                    setattr(module, key, fn(value))
                elif isinstance(value, tuple):
                    setattr(module, key, _living(_plain(value), self.place.device))
                elif isinstance(value, list) and value and isinstance(value[0], Tensor):
                    setattr(module, key, [fn(entry) for entry in value])
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
        values = torch.stack(list(self.rows(synchronised(losses)).values()))
        if type(self.method).__name__ == "GeometricMean":  # of what is not 0: of tasks with labels
            labelled = values.detach() > 0
            if not bool(labelled.any()):
                return values.sum()
            values = values[labelled]
        total = cast(Tensor, self.method(values))
        self.batches: Tensor = self.batches + 1
        epoch = self.epoch
        if epoch and int(self.batches) % epoch == 0:
            cast(Any, self.method).step()
        return total


class TorchJDAggregator(TorchJDMethod):
    """An aggregator: the tasks' gradients of the shared parameters become one.

    Other parameters get the gradient of the sum of the weighted losses. Exact whatever the number
    of supervised levels: TorchJD fills the Jacobian of the shared parameters, and an ordinary
    backward pass fills every gradient, of which those of the shared parameters are then replaced.
    Accumulated batches and several processes add up in the Jacobian, which is aggregated once a
    step, so a step does not depend on how its batch was split. A task that has no gradient (no
    labels in the step) does not count.

    Memory: one gradient of the shared parameters per task.
    """

    compares_gradients = True

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
        if not self._sized():
            labelled = jacobian.abs().amax(dim=1) > 0
            jacobian = jacobian[labelled]
        vector = jacobian.sum(0)
        if len(jacobian) > 1:
            vector = cast(Tensor, self.method(jacobian)).to(vector)
        pieces = same_on_processes(vector).split([p.numel() for p in shared])
        for parameter, piece in zip(shared, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).clone()

    def _sized(self) -> bool:
        """Whether the method was built for a number of tasks."""
        built_for = "n_tasks" in inspect.signature(type(self.method)).parameters
        # An attribute of some of TorchJD's methods.
        return built_for or getattr(self.method, "pref_vector", None) is not None
