"""State that TorchJD does not save: what its methods hold in plain attributes, for checkpoints."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

# Parts of TorchJD's methods that compute on the CPU, wherever the gradients are: so is their state.
ON_THE_CPU = frozenset({"GradVacWeighting", "PCDWeighting"})


def saved(method: nn.Module) -> dict[str, dict[str, Any]]:
    """The state of a method and of its parts, by their names, for a checkpoint."""
    return {name: _plain(state) for name, m in method.named_modules() if (state := _state(m))}


def restore(
    method: nn.Module, state: Mapping[str, Mapping[str, Any]], device: torch.device
) -> None:
    """Puts back what `saved` gave, on a device."""
    modules = dict(method.named_modules())
    for name, values in state.items():
        kind = type(modules[name]).__name__
        place = torch.device("cpu") if kind in ON_THE_CPU else device
        for key, value in values.items():
            setattr(modules[name], key, _living(value, place))
        if kind == "_NashMTLWeighting" and values.get("step"):
            cast(Any, modules[name])._init_optim_problem()  # which it does at step 0 alone


def move(method: nn.Module, fn: Callable[[Tensor], Tensor], device: torch.device) -> None:
    """What `nn.Module._apply` does for buffers, for the state of a method."""
    for module in method.modules():
        if type(module).__name__ in ON_THE_CPU:
            continue
        for key, value in _state(module).items():
            if isinstance(value, Tensor):
                setattr(module, key, fn(value))
            elif isinstance(value, tuple):
                setattr(module, key, _living(_plain(value), device))
            elif isinstance(value, list) and value and isinstance(value[0], Tensor):
                setattr(module, key, [fn(entry) for entry in value])


def _state(module: nn.Module) -> dict[str, Any]:
    """Buffers and plain attributes of a module: all that changes, and some that does not."""
    inherited = vars(nn.Module())
    state: dict[str, Any] = {**module._buffers}
    for key, value in vars(module).items():
        if key not in inherited and _is_plain(value):
            state[key] = value
    return state


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    is_array = type(value).__module__ == "numpy"
    kinds = bool | int | float | str | Tensor | torch.dtype | torch.device
    return value is None or is_array or isinstance(value, kinds)


def _plain(value: Any) -> Any:
    """Tensors and plain containers only, so that checkpoints load with `weights_only=True`."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if type(value).__module__ == "numpy":
        return {"array": torch.as_tensor(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [_plain(entry) for entry in value]}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value.detach().clone() if isinstance(value, Tensor) else value


def _living(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        if "dtype" in value:
            return getattr(torch, value["dtype"])  # by its name, from a checkpoint
        if "device" in value:  # what was elsewhere is here now
            return device
        if "tuple" in value:
            return tuple(_living(entry, device) for entry in value["tuple"])
        return value["array"].numpy()
    if isinstance(value, list):
        return [_living(entry, device) for entry in value]
    return value.to(device) if isinstance(value, Tensor) else value
