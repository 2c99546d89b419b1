"""How each tensor type of a sample follows the geometric functionals of torchvision v2.

A type without a registered kernel would pass through v2's transforms unchanged and without an error,
so every geometric functional has one here: exact where a pinhole camera can follow (mirror, resize,
crop, pad), an error where it cannot (rotation, shear, elastic deformation, stacks of crops).
Importing this file registers them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from crosstask import geometry
from crosstask.data.sample import DataError
from crosstask.data.transforms.tensor_types import Intrinsics, Poses, Size, TargetMap

Kernel = Callable[..., Any]
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


def _kernels(
    crop: Kernel, resize: Kernel, mirror: Callable[[int], Kernel], canvas: Callable[[Any], Size]
) -> dict[str, Kernel]:
    """All kernels of a type, from its window, which may leave the image, its resizing and its mirror.

    Args:
        mirror: By the axis that is reversed, -1 or -2.
        canvas: Height and width of a value.
    """

    def pad(value: Any, padding: Any, **_: Any) -> Any:
        left, top, right, bottom = pad_margins(padding)
        height, width = canvas(value)
        return crop(value, -top, -left, height + top + bottom, width + left + right)

    def center_crop(value: Any, output_size: Any) -> Any:
        return crop(value, *center_corner(canvas(value), output_size))

    def resized_crop(
        value: Any, top: int, left: int, height: int, width: int, size: Any, **_: Any
    ) -> Any:
        return resize(crop(value, top, left, height, width), size)

    return {
        "horizontal_flip": mirror(-1),
        "vertical_flip": mirror(-2),
        "resize": resize,
        "crop": crop,
        "pad": pad,
        "center_crop": center_crop,
        "resized_crop": resized_crop,
    }


def _target_kernels() -> dict[str, Kernel]:
    def canvas(value: TargetMap) -> Size:
        return value.shape[-2], value.shape[-1]

    def crop(value: TargetMap, top: int, left: int, height: int, width: int) -> TargetMap:
        void = value.declaration.void
        plain = crop_map(value.as_subclass(Tensor), top, left, height, width, void)
        return TargetMap(plain, value.declaration)

    def resize(value: TargetMap, size: Any, max_size: int | None = None, **_: Any) -> TargetMap:
        wanted = resized_size(canvas(value), size, max_size)
        plain = value.declaration.resize(value.as_subclass(Tensor), wanted)
        if tuple(plain.shape[-2:]) != wanted:
            raise DataError(
                f"`resize` of a target in {value.declaration.unit} returned {tuple(plain.shape[-2:])}; "
                f"expected height and width {wanted}"
            )
        return TargetMap(plain, value.declaration)

    def mirror(axis: int) -> Kernel:
        def kernel(value: TargetMap) -> TargetMap:
            plain = value.declaration.mirror(value.as_subclass(Tensor), axis)
            return TargetMap(plain, value.declaration)

        return kernel

    return _kernels(crop, resize, mirror, canvas)


def _intrinsics_kernels() -> dict[str, Kernel]:
    def canvas(value: Intrinsics) -> Size:
        return value.canvas_size

    def moved(matrix: Tensor, value: Intrinsics, canvas: Size) -> Intrinsics:
        known = float(value[0, 0]) > 0
        return Intrinsics(matrix if known else value.as_subclass(Tensor), canvas_size=canvas)

    def crop(value: Intrinsics, top: int, left: int, height: int, width: int) -> Intrinsics:
        matrix = geometry.crop_intrinsics(value.as_subclass(Tensor), top, left)
        return moved(matrix, value, (height, width))

    def resize(value: Intrinsics, size: Any, max_size: int | None = None, **_: Any) -> Intrinsics:
        height, width = resized_size(value.canvas_size, size, max_size)
        sx, sy = width / value.canvas_size[1], height / value.canvas_size[0]
        matrix = geometry.scale_intrinsics(value.as_subclass(Tensor), sx, sy)
        return moved(matrix, value, (height, width))

    def mirror(axis: int) -> Kernel:
        def kernel(value: Intrinsics) -> Intrinsics:
            plain, (height, width) = value.as_subclass(Tensor), value.canvas_size
            if axis == -1:
                return moved(geometry.flip_intrinsics(plain, width), value, value.canvas_size)
            matrix = plain.clone()
            matrix[1, 2] = height - 1 - matrix[1, 2]
            return moved(matrix, value, value.canvas_size)

        return kernel

    return _kernels(crop, resize, mirror, canvas)


def _poses_kernels() -> dict[str, Kernel]:
    def mirror(*signs: float) -> Callable[[Poses], Poses]:
        def kernel(value: Poses) -> Poses:
            flip = torch.diag(torch.tensor([*signs, 1.0]))
            return Poses(flip @ value.as_subclass(Tensor) @ flip)

        return kernel

    still = ("resize", "crop", "pad", "center_crop", "resized_crop")
    kernels: dict[str, Kernel] = {name: lambda value, *_, **__: value for name in still}
    return kernels | {
        "horizontal_flip": mirror(-1.0, 1.0, 1.0),
        "vertical_flip": mirror(1.0, -1.0, 1.0),
    }


def _refusal(name: str, kind: type) -> Kernel:
    def kernel(*_: Any, **__: Any) -> Any:
        raise DataError(
            f"transform `{name}` cannot move `{kind.__name__}`: no pinhole camera matrix follows it "
            "exactly; use resize, crop, pad, flip, RandomScaleCrop or RandomRotation of crosstask.data"
        )

    return kernel


def _register() -> None:
    tables: list[tuple[type, dict[str, Kernel]]] = [
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
