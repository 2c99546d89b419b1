"""Leaving autocast for operations that need float32."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """A context without autocast; inputs still have to be cast. The meta device has none."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
