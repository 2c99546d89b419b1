"""What a sample holds: one table of keys with shape, dtype, unit and the value of a hole.

Every dataset returns a dictionary of these keys, every transform keeps it legal, every task reads
its target from it. `check_sample` says whether a dictionary follows the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.media.reading import DataError as DataError  # what is wrong, by name of the file


class WrongRoot(DataError):
    """The folder does not hold this dataset, or not this split of it."""


@dataclass(frozen=True)
class Key:
    """One entry of a sample.

    Attributes:
        name: Key in the dictionary.
        shape: Axis names; `h` and `w` are the size of the image, numbers are fixed.
        dtype: Data type after loading.
        unit: What a value means.
        void: Value of a pixel without ground truth; None where nothing can be missing.
    """

    name: str
    shape: tuple[str | int, ...]
    dtype: torch.dtype
    unit: str
    void: float | None


KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("image", (3, "h", "w"), torch.float32, "RGB in [0, 1]", None),
        Key("segmentation", ("h", "w"), torch.int64, "class index", 255),
        Key("human_parts", ("h", "w"), torch.int64, "part index, 0 is background", 255),
        Key("depth", (1, "h", "w"), torch.float32, "metres along the optical axis", 0),
        Key("normals", (3, "h", "w"), torch.float32, "unit vector, camera frame, to the camera", 0),
        Key("edges", (1, "h", "w"), torch.float32, "0 or 1", 255),
        Key("saliency", (1, "h", "w"), torch.float32, "0 or 1", 255),
        Key("intrinsics", (3, 3), torch.float32, "pixels, integers at pixel centres", None),
        Key("neighbours", ("k", 3, "h", "w"), torch.float32, "RGB in [0, 1]", None),
        Key("poses", ("k", 4, 4), torch.float32, "target camera to neighbour camera, metres", None),
    )
}
TARGETS: tuple[str, ...] = tuple(name for name, key in KEYS.items() if key.void is not None)
MODALITIES: tuple[str, ...] = (*TARGETS, "neighbours", "poses")


def void_target(key: str, size: tuple[int, int]) -> Tensor:
    """A target without a single labelled pixel.

    Args:
        key: One of `TARGETS`.
        size: Height and width in pixels.
    """
    if key not in TARGETS:
        raise DataError(f"`key` is {key!r}; expected a target: {', '.join(TARGETS)}")
    entry = KEYS[key]
    assert entry.void is not None
    shape = [{"h": size[0], "w": size[1]}.get(axis, axis) for axis in entry.shape]  # type: ignore[arg-type]
    return torch.full([int(axis) for axis in shape], entry.void, dtype=entry.dtype)


def void_mask(key: str, value: Tensor) -> Tensor:
    """Where a target has no label: a boolean (H,W) map."""
    void = torch.eq(value, KEYS[key].void or 0)
    return void.reshape(-1, *void.shape[-2:]).all(dim=0)


def unknown_intrinsics() -> Float[Tensor, "3 3"]:
    """The matrix that stands for "no known camera": focal lengths 0, so `fx > 0` tests for one."""
    return torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def intrinsics_matrix(fx: float, fy: float, cx: float, cy: float) -> Float[Tensor, "3 3"]:
    """The 3x3 camera matrix of a pinhole, in pixels, integer coordinates at pixel centres."""
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def check_sample(sample: Mapping[str, Any], modalities: tuple[str, ...] = ()) -> None:
    """Hold a sample against the table of keys.

    Args:
        sample: What a dataset returned, without a batch axis.
        modalities: Keys that must be there besides image, intrinsics, name and source.

    Raises:
        DataError: A key is missing, or a shape, data type or value range differs.
    """
    where = f"sample {sample.get('name', '?')!r} of {sample.get('source', '?')!r}"
    for name in ("image", "intrinsics", "name", "source", *modalities):
        if name not in sample:
            raise DataError(f"{where} has no {name!r}; it has {', '.join(sample)}")
    axes: dict[str, int] = {}
    for name, key in KEYS.items():
        if name in sample:
            _check_tensor(where, key, sample[name], axes)
    _check_values(where, sample)


def _check_tensor(where: str, key: Key, value: Any, axes: dict[str, int]) -> None:
    if not isinstance(value, Tensor):
        raise DataError(f"{where}: `{key.name}` is {type(value).__name__}; expected a tensor")
    if value.dtype != key.dtype:
        raise DataError(f"{where}: `{key.name}` is {value.dtype}; expected {key.dtype}")
    expected = [
        axes.setdefault(a, s) if isinstance(a, str) else a
        for a, s in zip(key.shape, value.shape, strict=False)
    ]
    if value.ndim != len(key.shape) or list(value.shape) != expected:
        raise DataError(
            f"{where}: `{key.name}` has shape {tuple(value.shape)}; expected {key.shape} with {axes}"
        )
    if not value.dtype == torch.int64 and not bool(torch.isfinite(value).all()):
        raise DataError(f"{where}: `{key.name}` holds values that are not finite")


def _check_values(where: str, sample: Mapping[str, Any]) -> None:
    def fail(name: str, expected: str) -> None:
        value = sample[name]
        raise DataError(
            f"{where}: `{name}` lies in [{float(value.min()):g}, {float(value.max()):g}]; expected {expected}"
        )

    for name in ("image", "neighbours"):
        if name in sample and (sample[name].min() < 0 or sample[name].max() > 1):
            fail(name, "values in [0, 1]")
    for name in ("segmentation", "human_parts"):
        if name in sample and (sample[name].min() < 0 or sample[name].max() > 255):
            fail(name, "class indices, void 255")
    for name in ("edges", "saliency"):
        if name in sample:
            value = sample[name]
            if not bool(((value == 0) | (value == 1) | (value == 255)).all()):
                fail(name, "only 0, 1 and the void 255")
    if "depth" in sample and sample["depth"].min() < 0:
        fail("depth", "metres, 0 where unknown")
    if "normals" in sample:
        norm = sample["normals"].norm(dim=0)
        if bool((((norm - 1).abs() > 1e-3) & (norm != 0)).any()):
            raise DataError(f"{where}: `normals` are not unit vectors (or zero where unknown)")
