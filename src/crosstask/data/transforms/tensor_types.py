"""Tensor types of a sample, and the plain tensors back.

Label maps of all kinds are of one type, `TargetMap`, which carries what the kind declares. How each
type follows a geometric transform is in `crosstask.data.transforms.kernels`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torchvision import tv_tensors

from crosstask.data.sample import FIXED, DataError, holds_map, stray, where
from crosstask.tasks.target import Target, declared

Size = tuple[int, int]


class _Carrier(tv_tensors.TVTensor):
    """Keeps its attributes in `clone`, `to`, `detach` and deep copies; torchvision's base loses them."""

    @classmethod
    def _wrap_output(
        cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = super()._wrap_output(output, args, kwargs)
        origin = next((argument for argument in args if isinstance(argument, cls)), None)
        if isinstance(output, cls) and origin is not None:
            output.__dict__.update(origin.__dict__)
        return output

    @classmethod
    def wrap(cls, tensor: Tensor, like: Any, **changes: Any) -> Any:
        """`tensor` as a value like `like`."""
        result = tensor.as_subclass(cls)
        result.__dict__.update(like.__dict__ | changes)
        return result


class TargetMap(_Carrier):
    """A label map without a batch axis; `declaration` says how it moves and what fills a hole."""

    declaration: Target

    def __new__(cls, data: Any, declaration: Target) -> "TargetMap":
        result = cls._to_tensor(data).as_subclass(cls)
        result.declaration = declaration
        return result


class Intrinsics(_Carrier):
    """Camera matrix (3,3) of an image of `canvas_size` (height, width)."""

    canvas_size: Size

    def __new__(cls, data: Any, *, canvas_size: Size) -> "Intrinsics":
        result = cls._to_tensor(data).as_subclass(cls)
        result.canvas_size = canvas_size
        return result


class Poses(tv_tensors.TVTensor):
    """Rigid motions (K,4,4) from the target camera to its neighbours'."""


TYPES: tuple[type[tv_tensors.TVTensor], ...] = (TargetMap, Intrinsics, Poses)


def wrap(
    sample: Mapping[str, Any],
    targets: bool = True,
    known: Mapping[str, Target] | None = None,
) -> dict[str, Any]:
    """Give every tensor of a sample its type; one that has its type keeps it.

    Args:
        sample: Without a batch axis.
        targets: Whether label maps get theirs; False leaves them plain, so that they do not move.
        known: The target of every key that may hold a label map; those declared if left out.

    Raises:
        DataError: A map under an undeclared key, or of another shape than declared.
    """
    canvas = (int(sample["image"].shape[-2]), int(sample["image"].shape[-1]))
    known = declared() if known is None else known
    result = {}
    for name, value in sample.items():
        if isinstance(value, TargetMap) and not targets:
            value = value.as_subclass(Tensor)
        elif isinstance(value, tv_tensors.TVTensor):
            pass
        elif name in ("image", "neighbours"):
            value = tv_tensors.Image(value)
        elif name == "intrinsics":
            value = Intrinsics(value, canvas_size=canvas)
        elif name == "poses":
            value = Poses(value)
        elif name in known:
            if targets:
                value = _target_map(sample, name, canvas, known[name])
        elif holds_map(value):
            raise _misplaced(sample, name) if name in FIXED else stray(sample, name)
        result[name] = value
    return result


def _target_map(sample: Mapping[str, Any], name: str, canvas: Size, target: Target) -> TargetMap:
    value = sample[name]
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    if not target.fits(shape) or shape[-2:] != canvas:
        raise DataError(
            f"{where(sample)}: `{name}` is {type(value).__name__} of shape {shape}; expected a tensor of "
            f"{target.axes} with the image's height and width {canvas}; stack or transpose it so"
        )
    return TargetMap(target.prepared(value), target)


def _misplaced(sample: Mapping[str, Any], name: str) -> DataError:
    return DataError(
        f"{where(sample)} has {name!r}, which belongs to another image and would not move with its "
        "own; transform each domain before they are paired"
    )


def unwrap(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Back to plain tensors."""
    return {
        name: value.as_subclass(Tensor) if isinstance(value, tv_tensors.TVTensor) else value
        for name, value in sample.items()
    }
