"""Tensor types of a sample, and how each follows a geometric transform of torchvision v2.

A type without a registered kernel would pass through v2's transforms unchanged and without a word,
so every geometric functional has one here: exact where a pinhole camera can follow (mirror, resize,
crop, pad), an error where it cannot (rotation, shear, elastic deformation, stacks of crops).
Label maps of all kinds are of one type, `TargetMap`, which carries what the kind declares.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from crosstask import geometry
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
        DataError: A map under a key that nobody declared, or of another shape than declared.
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


REFUSED = ("affine", "rotate", "perspective", "elastic", "five_crop", "ten_crop")


def resized_size(
    canvas: Size, size: int | Sequence[int] | None, max_size: int | None = None
) -> Size:
    """Height and width after `F.resize`: one number is the shorter side, aspect kept."""
    if size is not None and not isinstance(size, int) and len(size) == 2:
        return int(size[0]), int(size[1])
    height, width = canvas
    if size is None:
        assert max_size is not None
        short, long = int(max_size * min(canvas) / max(canvas)), max_size
    else:
        short = size if isinstance(size, int) else int(size[0])
        long = int(short * max(canvas) / min(canvas))
        if max_size is not None and long > max_size:
            short, long = int(max_size * short / long), max_size
    return (short, long) if height <= width else (long, short)


def pad_margins(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of torchvision's `padding` argument (1, 2 or 4 numbers)."""
    values = [padding] if isinstance(padding, int) else [int(p) for p in padding]
    if len(values) == 1:
        return (values[0],) * 4  # type: ignore[return-value]
    if len(values) == 2:
        return values[0], values[1], values[0], values[1]
    left, top, right, bottom = values
    return left, top, right, bottom


def center_corner(canvas: Size, output: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of `F.center_crop`; negative corners mean padding."""
    numbers = [output] if isinstance(output, int) else [int(o) for o in output]
    height, width = numbers[0], numbers[-1]

    def start(have: int, want: int) -> int:
        return -((want - have) // 2) if want > have else round((have - want) / 2.0)

    return start(canvas[0], height), start(canvas[1], width), height, width


def crop_map(value: Tensor, top: int, left: int, height: int, width: int, void: float) -> Tensor:
    """A window of the last two axes; what lies outside the map is void."""
    rows, columns = value.shape[-2:]
    inside = value[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if inside.shape[-2:] == (height, width):
        return inside.contiguous()
    result = value.new_full((*value.shape[:-2], height, width), void)
    y, x = max(-top, 0), max(-left, 0)
    if y < height and x < width and top < rows and left < columns:
        result[..., y : y + inside.shape[-2], x : x + inside.shape[-1]] = inside
    return result


def _target_kernels() -> dict[str, Callable[..., Any]]:
    def window(value: TargetMap, top: int, left: int, height: int, width: int) -> TargetMap:
        void = value.declaration.void
        plain = crop_map(value.as_subclass(Tensor), top, left, height, width, void)
        return TargetMap(plain, value.declaration)

    def resize(value: TargetMap, size: Any, max_size: int | None = None, **_: Any) -> TargetMap:
        wanted = resized_size((value.shape[-2], value.shape[-1]), size, max_size)
        plain = value.declaration.resize(value.as_subclass(Tensor), wanted)
        if tuple(plain.shape[-2:]) != wanted:
            raise DataError(
                f"`resize` of a target in {value.declaration.unit} returned {tuple(plain.shape[-2:])}; "
                f"expected height and width {wanted}"
            )
        return TargetMap(plain, value.declaration)

    def pad(value: TargetMap, padding: Any, **_: Any) -> TargetMap:
        left, top, right, bottom = pad_margins(padding)
        height, width = value.shape[-2] + top + bottom, value.shape[-1] + left + right
        return window(value, -top, -left, height, width)

    def center_crop(value: TargetMap, output_size: Any) -> TargetMap:
        return window(value, *center_corner((value.shape[-2], value.shape[-1]), output_size))

    def resized_crop(
        value: TargetMap, top: int, left: int, height: int, width: int, size: Any, **_: Any
    ) -> TargetMap:
        return resize(window(value, top, left, height, width), size)

    def mirror(axis: int) -> Callable[[TargetMap], TargetMap]:
        def kernel(value: TargetMap) -> TargetMap:
            plain = value.declaration.mirror(value.as_subclass(Tensor), axis)
            return TargetMap(plain, value.declaration)

        return kernel

    return {
        "horizontal_flip": mirror(-1),
        "vertical_flip": mirror(-2),
        "resize": resize,
        "crop": window,
        "pad": pad,
        "center_crop": center_crop,
        "resized_crop": resized_crop,
    }


def _intrinsics_kernels() -> dict[str, Callable[..., Any]]:
    def moved(matrix: Tensor, value: Intrinsics, canvas: Size) -> Intrinsics:
        known = float(value[0, 0]) > 0
        return Intrinsics(matrix if known else value.as_subclass(Tensor), canvas_size=canvas)

    def resize(value: Intrinsics, size: Any, max_size: int | None = None, **_: Any) -> Intrinsics:
        height, width = resized_size(value.canvas_size, size, max_size)
        sx, sy = width / value.canvas_size[1], height / value.canvas_size[0]
        matrix = geometry.scale_intrinsics(value.as_subclass(Tensor), sx, sy)
        return moved(matrix, value, (height, width))

    def crop(value: Intrinsics, top: int, left: int, height: int, width: int) -> Intrinsics:
        matrix = geometry.crop_intrinsics(value.as_subclass(Tensor), top, left)
        return moved(matrix, value, (height, width))

    def pad(value: Intrinsics, padding: Any, **_: Any) -> Intrinsics:
        left, top, right, bottom = pad_margins(padding)
        height, width = value.canvas_size
        return crop(value, -top, -left, height + top + bottom, width + left + right)

    def center_crop(value: Intrinsics, output_size: Any) -> Intrinsics:
        return crop(value, *center_corner(value.canvas_size, output_size))

    def resized_crop(
        value: Intrinsics, top: int, left: int, height: int, width: int, size: Any, **_: Any
    ) -> Intrinsics:
        return resize(crop(value, top, left, height, width), size)

    def horizontal_flip(value: Intrinsics) -> Intrinsics:
        matrix = geometry.flip_intrinsics(value.as_subclass(Tensor), value.canvas_size[1])
        return moved(matrix, value, value.canvas_size)

    def vertical_flip(value: Intrinsics) -> Intrinsics:
        matrix = value.as_subclass(Tensor).clone()
        matrix[1, 2] = value.canvas_size[0] - 1 - matrix[1, 2]
        return moved(matrix, value, value.canvas_size)

    return {
        "horizontal_flip": horizontal_flip,
        "vertical_flip": vertical_flip,
        "resize": resize,
        "crop": crop,
        "pad": pad,
        "center_crop": center_crop,
        "resized_crop": resized_crop,
    }


def _poses_kernels() -> dict[str, Callable[..., Any]]:
    def mirror(*signs: float) -> Callable[[Poses], Poses]:
        def kernel(value: Poses) -> Poses:
            flip = torch.diag(torch.tensor([*signs, 1.0]))
            return Poses(flip @ value.as_subclass(Tensor) @ flip)

        return kernel

    still = ("resize", "crop", "pad", "center_crop", "resized_crop")
    kernels: dict[str, Callable[..., Any]] = {name: lambda value, *_, **__: value for name in still}
    return kernels | {
        "horizontal_flip": mirror(-1.0, 1.0, 1.0),
        "vertical_flip": mirror(1.0, -1.0, 1.0),
    }


def _refusal(name: str, kind: type) -> Callable[..., Any]:
    def kernel(*_: Any, **__: Any) -> Any:
        raise DataError(
            f"transform `{name}` cannot move `{kind.__name__}`: no pinhole camera matrix follows it "
            "exactly; use resize, crop, pad, flip, RandomScaleCrop or RandomRotation of crosstask.data"
        )

    return kernel


def _register() -> None:
    tables: list[tuple[type, dict[str, Callable[..., Any]]]] = [
        (TargetMap, _target_kernels()),
        (Intrinsics, _intrinsics_kernels()),
        (Poses, _poses_kernels()),
    ]
    for kind, kernels in tables:
        refused = {name: _refusal(name, kind) for name in REFUSED}
        for name, kernel in (kernels | refused).items():
            # torchvision's function of that name.
            F.register_kernel(getattr(F, name), kind)(kernel)


_register()
