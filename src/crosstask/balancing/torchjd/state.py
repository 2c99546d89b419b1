"""State that TorchJD does not save: what its methods hold in plain attributes, for checkpoints."""

from typing import Any

import torch
from torch import Tensor, nn


def _states(method: nn.Module) -> dict[str, dict[str, Any]]:
    return {name: state for name, m in method.named_modules() if (state := _state(m))}


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
