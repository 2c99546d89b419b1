"""NaN and infinity: found before they are saved, scored or predicted with."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class NonFiniteError(RuntimeError):
    """Weights, outputs or a loss are NaN or infinite; says which, and what to do."""


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity.

    One reduction a tensor and one look at the device for all of them (16 ms for 100 MB on a core).
    """
    looked = {
        name: value.detach()
        for name, value in tensors.items()
        if value.is_floating_point() and value.numel()
    }
    if not looked:
        return []
    devices: dict[torch.device, list[str]] = {}
    for name, value in looked.items():
        devices.setdefault(value.device, []).append(name)
    bad: list[str] = []
    for names in devices.values():
        extremes = torch.stack([torch.stack(looked[n].aminmax()).float() for n in names])
        finite = torch.isfinite(extremes).all(1).tolist()
        bad += [name for name, good in zip(names, finite, strict=True) if not good]
    return bad


def learned(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics: what training moves. (A constant may hold -inf, as a mask.)"""
    found: dict[str, Tensor] = dict(module.named_parameters())
    return found | {
        name: value
        for name, value in module.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    }


def in_any_process(bad: bool, device: torch.device | str) -> bool:
    """Whether it is so in one process at least: all of them stop, or one would wait for the others."""
    if not (dist.is_available() and dist.is_initialized()):
        return bad
    number = torch.tensor(float(bad), device=device)
    dist.all_reduce(number)
    return bool(number > 0)


class OutputWatch:
    """Raw outputs of an evaluation; looked at once, at its end, since looking waits for a GPU."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, list[str], Tensor]] = []

    def see(self, task: str, output: Tensor, batch: Mapping[str, Any]) -> None:
        """Remembers for every image of a batch whether its output is finite."""
        names = [str(name) for name in batch.get("name", [])]
        self._seen.append((task, names, torch.isfinite(output.detach()).flatten(1).all(1)))

    def check(self) -> None:
        """Forgets what was seen.

        Raises:
            NonFiniteError: an output was NaN or infinite; names tasks and images.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return
        flags_of_all = torch.cat([flags for _, _, flags in seen])
        good = flags_of_all.tolist()
        stop = in_any_process(not all(good), flags_of_all.device)
        tasks: dict[str, None] = {}
        images: dict[str, None] = {}
        position = 0
        for task, names, flags in seen:
            for index in range(len(flags)):
                if not good[position]:
                    tasks[task] = None
                    images[names[index] if index < len(names) else f"image {position}"] = None
                position += 1
        if stop:
            where = (
                f"for {', '.join(tasks)} is not finite on {_some(list(images))}"
                if tasks
                else "is not finite on an image of another process"
            )
            raise NonFiniteError(
                f"the network's output {where}: the "
                "weights have diverged, and no score is computed. The last good checkpoint is kept: lower "
                "the learning rate (`--lr`), or train in float32 (`--precision 32`)"
            )


def _some(names: Sequence[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
