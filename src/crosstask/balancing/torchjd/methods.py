"""Methods of TorchJD by their names, built from options."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import nn

from crosstask.balancing.balancer import (
    Balancer,
    check_number,
    is_number,
)
from crosstask.balancing.torchjd.adapters import TorchJDAggregator, TorchJDScalarizer
from crosstask.balancing.torchjd.dwa import DynamicWeightAverage
from crosstask.balancing.torchjd.learned import SLOPES, LearnedScales
from crosstask.balancing.torchjd.library import torchjd_part
from crosstask.suggest import nearest

INSTALL_SOLVERS = 'pip install "crosstask[balancing-solvers]"'


def methods() -> dict[str, type[nn.Module]]:
    """{lower-case name: class}; where both kinds have a name, the scalariser."""
    found: dict[str, type[nn.Module]] = {}
    for part, base in (("aggregation", "Aggregator"), ("scalarization", "Scalarizer")):
        module = torchjd_part(part)
        # Another library's module, which lists its public names.
        root = getattr(module, base)
        for name in module.__all__:
            kind = getattr(module, name)
            if issubclass(kind, root) and not inspect.isabstract(kind) and "Weighted" not in name:
                found[name.lower()] = kind
    return found


def create(
    name: str, tasks: Sequence[str], weights: Mapping[str, float], options: Mapping[str, Any]
) -> Balancer:
    """The balancer for a method of TorchJD, by its class name in any spelling.

    Args:
        name: for example "dwa", "pcgrad", "imtl_g".
        tasks: names of the tasks, in order.
        weights: constant weights applied to the losses before.
        options: of the method's constructor; the number of tasks is filled in.

    Raises:
        ValueError: unknown method or option.
        ImportError: the method needs a solver that is not installed.
    """
    known = methods()
    key = name.lower().replace("_", "").replace("-", "")
    if key not in known:
        raise ValueError(nearest(key, list(known), "balancing method of TorchJD"))
    # TorchJD tells kinds of methods apart by the methods that they have.
    if hasattr(known[key], "update"):
        raise ValueError(
            f"`balancing` is {name!r}, which needs every loss computed a second time after each "
            "step; this trainer does not do that; take dwa, uncertainty or gradnorm"
        )
    given = dict(options)
    epoch = _asked_epoch(name, given) if hasattr(known[key], "step") else 0  # as above
    method = _build(name, known[key], _arguments(name, known[key], len(tasks), given))
    if isinstance(method, torchjd_part("aggregation").Aggregator):
        return TorchJDAggregator(method, tasks, weights)
    kind = type(method).__name__
    if kind == "DWA":
        return DynamicWeightAverage(method, tasks, weights, epoch)
    if kind in SLOPES:
        return LearnedScales(method, tasks, weights)
    return TorchJDScalarizer(method, tasks, weights, epoch)


def _asked_epoch(name: str, options: dict[str, Any]) -> int | None:
    """Takes `epoch` out of the options; None where it is not given."""
    epoch = options.pop("epoch", None)
    if epoch is not None and not (is_number(epoch, 1) and epoch == int(epoch)):
        raise ValueError(f"`balancing` is {name}:epoch={epoch!r}; expected a number of batches")
    return None if epoch is None else int(epoch)


def _build(name: str, kind: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    """The method; where its solver is not installed, an error with this library's extra."""
    try:
        return kind(**arguments)
    except ImportError as error:
        reason = str(error).partition(" Install")[0].rstrip(".")
        raise ImportError(
            f"`balancing` is {name!r}; {reason}; install it: {INSTALL_SOLVERS}"
        ) from error


def _arguments(
    name: str, kind: type[nn.Module], tasks: int, options: dict[str, Any]
) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters
    for key in options:
        if key not in parameters:
            raise ValueError(nearest(key, list(parameters), f"option of balancing {name!r}"))
    filled = {"n_tasks": tasks, "shape": tasks, "weights": torch.ones(tasks)}
    arguments = {key: _argument(name, parameters[key], value) for key, value in options.items()}
    for key, parameter in parameters.items():
        if key in arguments or parameter.default is not inspect.Parameter.empty:
            continue
        if key not in filled:
            raise ValueError(f"`balancing` is {name!r} and needs `{key}`; write {name}:{key}=VALUE")
        arguments[key] = filled[key]
    return arguments


def _argument(name: str, parameter: inspect.Parameter, value: Any) -> Any:
    """What the constructor gets for an option's value, by the kinds that its signature names.

    Raises:
        ValueError: a value of another kind, or a number that is not finite.
    """
    kinds = inspect.formatannotation(parameter.annotation)
    option = f"{name}:{parameter.name}"
    choices = get_args(parameter.annotation) if "Literal" in kinds else ()
    if choices:
        if value not in choices:
            raise ValueError(f"`{option}` is {value!r}; expected one of {', '.join(choices)}")
        return value
    if value is None and "None" in kinds:
        return None
    if "Tensor" in kinds and isinstance(value, torch.Tensor):
        return value
    if "Tensor" in kinds and isinstance(value, list) and all(map(is_number, value)):
        return torch.tensor(value, dtype=torch.float32)
    if "float" in kinds:
        either = " or a list of them, [1.0, 2.0]" if "Tensor" in kinds else ""
        return check_number(option, value, f"a finite number{either}")
    if "int" in kinds:
        if not isinstance(value, int):
            raise ValueError(f"`{option}` is {value!r}; expected a whole number")
        return check_number(option, value, "a whole number")
    if "Tensor" in kinds:
        raise ValueError(f"`{option}` is {value!r}; expected a list of numbers, as in [1.0, 2.0]")
    raise ValueError(f"`{option}` cannot be given as text; leave it out")
