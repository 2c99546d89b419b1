"""What a sample holds: images, a camera, label maps, names.

Every dataset returns a dictionary of these keys, every transform keeps it legal, every task reads
its target from it. The keys of images and cameras are fixed (`FIXED`); those of label maps are
names of tasks, and `crosstask.tasks.target` says what lies under each. `check_sample` says whether
a dictionary follows both. A map under any other key is an error: nothing would tell it to follow
the image when that is cropped or mirrored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.media.reading import DataError as DataError  # what is wrong, by name of the file
from crosstask.tasks.target import Target, declared

Sample = dict[str, Any]


class WrongRoot(DataError):
    """The folder does not hold this dataset, or not this split of it."""


@dataclass(frozen=True)
class Key:
    """One entry of a sample that is not a label map.

    Attributes:
        name: Key in the dictionary.
        shape: Axis names; `h` and `w` are the size of the image, numbers are fixed.
        unit: What a value means.
    """

    name: str
    shape: tuple[str | int, ...]
    unit: str


FIXED: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("image", ("c", "h", "w"), "RGB, or other channels, see `channels`; in [0, 1]"),
        Key("intrinsics", (3, 3), "pixels, integers at pixel centres"),
        Key("neighbours", ("k", 3, "h", "w"), "RGB in [0, 1]"),
        Key("poses", ("k", 4, 4), "target camera to neighbour camera, metres"),
        Key("target_image", (3, "h", "w"), "the unlabelled domain's, see `DomainPairs`"),
        Key("target_intrinsics", (3, 3), "the unlabelled domain's, see `DomainPairs`"),
    )
}
SEQUENCE = ("neighbours", "poses")


def target_of(key: str) -> Target:
    """The target declared under a key.

    Raises:
        DataError: The key is undeclared.
    """
    if key not in declared():
        raise DataError(f"`key` is {key!r}, {undeclared(key)}")
    return declared()[key]


def undeclared(key: str) -> str:
    """What is wrong with an undeclared key, and what to do, for messages."""
    return (
        f"under which no target is declared; expected some of {', '.join(declared())}; import the file of "
        f"your own task `{key}`, or declare its maps with `crosstask.tasks.declare({key!r}, Target("
        "channels=..., void=..., unit=...))`"
    )


def void_target(key: str, size: tuple[int, int]) -> Tensor:
    """A target without a single labelled pixel.

    Args:
        key: Name of a task.
        size: Height and width in pixels.
    """
    return target_of(key).void_map(size)


def several(value: Any) -> tuple[Any, ...]:
    """A list of values that may be given as one alone: "clone" is ("clone",), not its letters."""
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if alone else tuple(value)


def holds_map(value: Any) -> bool:
    """Whether a value is, or contains, an array of two or more axes."""
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim >= 2
    if isinstance(value, Mapping):
        return any(holds_map(item) for item in value.values())
    return isinstance(value, list | tuple) and any(holds_map(item) for item in value)


def stray(sample: Mapping[str, Any], key: str) -> DataError:
    """The error for a map under an undeclared key."""
    return DataError(
        f"{where(sample)} has a map under {key!r}, {undeclared(key)}; or leave it out of the sample "
        "(an array that is not a map: flatten it)"
    )


def where(sample: Mapping[str, Any]) -> str:
    """Which sample, for messages."""
    return f"sample {sample.get('name', '?')!r} of {sample.get('source', '?')!r}"


def unknown_intrinsics() -> Float[Tensor, "3 3"]:
    """The matrix that stands for "no known camera": focal lengths 0, so `fx > 0` tests for one."""
    return torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def intrinsics_matrix(fx: float, fy: float, cx: float, cy: float) -> Float[Tensor, "3 3"]:
    """The 3x3 camera matrix of a pinhole, in pixels, integer coordinates at pixel centres."""
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def check_sample(sample: Mapping[str, Any], modalities: tuple[str, ...] = ()) -> None:
    """Hold a sample against the fixed keys and the declared targets.

    Args:
        sample: What a dataset returned, without a batch axis.
        modalities: Keys that must be there besides image, intrinsics, name and source.

    Raises:
        DataError: A key is missing, a shape, data type or value range differs, or there is a map
            under an undeclared key.
    """
    for name in ("image", "intrinsics", "name", "source", *modalities):
        if name not in sample:
            raise DataError(f"{where(sample)} has no {name!r}; it has {', '.join(sample)}")
    targets, axes = declared(), dict[str, int]()
    _check_tensor(sample, "image", FIXED["image"].shape, torch.float32, axes)
    for name, value in sample.items():
        if name in targets:
            target = targets[name]
            _check_tensor(sample, name, target.axes, target.dtype, axes)
            if target.check is not None and (expected := target.check(value)) is not None:
                raise _out_of_range(sample, name, expected)
        elif name in FIXED:
            _check_tensor(sample, name, FIXED[name].shape, torch.float32, axes)
        elif holds_map(value):
            raise stray(sample, name)
    for name in ("image", "neighbours"):
        if name in sample and (sample[name].min() < 0 or sample[name].max() > 1):
            raise _out_of_range(sample, name, "values in [0, 1]")


def _out_of_range(sample: Mapping[str, Any], name: str, expected: str) -> DataError:
    low, high = float(sample[name].min()), float(sample[name].max())
    return DataError(f"{where(sample)}: `{name}` lies in [{low:g}, {high:g}]; expected {expected}")


def _check_tensor(
    sample: Mapping[str, Any],
    name: str,
    shape: tuple[str | int, ...],
    dtype: torch.dtype,
    axes: dict[str, int],
) -> None:
    value = sample[name]
    if not isinstance(value, Tensor):
        raise DataError(f"{where(sample)}: `{name}` is {type(value).__name__}; expected a tensor")
    if value.dtype != dtype:
        raise DataError(f"{where(sample)}: `{name}` is {value.dtype}; expected {dtype}")
    expected = [
        axes.setdefault(a, s) if isinstance(a, str) else a
        for a, s in zip(shape, value.shape, strict=False)
    ]
    if value.ndim != len(shape) or list(value.shape) != expected:
        raise DataError(
            f"{where(sample)}: `{name}` has shape {tuple(value.shape)}; expected {shape} with {axes}"
        )
    if value.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
        raise DataError(f"{where(sample)}: `{name}` holds values that are not finite")
