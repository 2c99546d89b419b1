"""Tensor types of the targets, and how each follows a geometric transform of torchvision v2.

A type without a registered kernel would pass through v2's transforms unchanged and without a word,
so every geometric functional has one here: exact where a pinhole camera can follow (mirror, resize,
crop, pad), an error where it cannot (rotation, shear, elastic deformation, stacks of crops).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from crosstask import geometry
from crosstask.data.resample import resize_depth, resize_edges, resize_nearest
from crosstask.data.sample import DataError

Size = tuple[int, int]


class Target(tv_tensors.TVTensor):
    """A map with values per pixel; `void` fills what a crop or a pad brings in from outside."""

    void: ClassVar[float] = 255

    def resized(self, size: Size) -> Tensor:
        """The plain tensor at another size."""
        return resize_nearest(self.as_subclass(Tensor), size)

    def mirrored(self, axis: int) -> Tensor:
        """The plain tensor mirrored along `axis` (-1 left-right, -2 top-bottom)."""
        return self.as_subclass(Tensor).flip(axis)


class Labels(Target):
    """Class indices or a binary mask, (H,W) or (1,H,W); void 255."""


class Edges(Target):
    """Edges (1,H,W) with 0, 1 and void 255; thin lines survive shrinking."""

    def resized(self, size: Size) -> Tensor:
        return resize_edges(self.as_subclass(Tensor), size)


class Depth(Target):
    """Metres (1,H,W), void 0. Resizing does not change metres: the camera changes."""

    void = 0

    def resized(self, size: Size) -> Tensor:
        return resize_depth(self.as_subclass(Tensor), size)


class Normals(Target):
    """Unit vectors (3,H,W) in the camera frame, void 0; a mirror turns the component across it."""

    void = 0

    def mirrored(self, axis: int) -> Tensor:
        sign = torch.tensor([-1.0, 1.0, 1.0] if axis == -1 else [1.0, -1.0, 1.0])
        return self.as_subclass(Tensor).flip(axis) * sign.view(3, 1, 1)


class Intrinsics(tv_tensors.TVTensor):
    """Camera matrix (3,3) of an image of `canvas_size` (height, width)."""

    canvas_size: Size

    def __new__(cls, data: Any, *, canvas_size: Size) -> "Intrinsics":
        result = cls._to_tensor(data).as_subclass(cls)
        result.canvas_size = canvas_size
        return result


class Poses(tv_tensors.TVTensor):
    """Rigid motions (K,4,4) from the target camera to its neighbours'."""


TARGET_TYPES: tuple[type[Target], ...] = (Labels, Edges, Depth, Normals)
TYPES: tuple[type[tv_tensors.TVTensor], ...] = (*TARGET_TYPES, Intrinsics, Poses)
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


def _target_kernels(kind: type[Target]) -> dict[str, Callable[..., Any]]:
    def window(value: Target, top: int, left: int, height: int, width: int) -> Target:
        return kind(crop_map(value.as_subclass(Tensor), top, left, height, width, kind.void))

    def resize(value: Target, size: Any, max_size: int | None = None, **_: Any) -> Target:
        return kind(value.resized(resized_size((value.shape[-2], value.shape[-1]), size, max_size)))

    def pad(value: Target, padding: Any, **_: Any) -> Target:
        left, top, right, bottom = pad_margins(padding)
        height, width = value.shape[-2] + top + bottom, value.shape[-1] + left + right
        return window(value, -top, -left, height, width)

    def center_crop(value: Target, output_size: Any) -> Target:
        return window(value, *center_corner((value.shape[-2], value.shape[-1]), output_size))

    def resized_crop(
        value: Target, top: int, left: int, height: int, width: int, size: Any, **_: Any
    ) -> Target:
        return resize(window(value, top, left, height, width), size)

    return {
        "horizontal_flip": lambda value: kind(value.mirrored(-1)),
        "vertical_flip": lambda value: kind(value.mirrored(-2)),
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
            "exactly; use resize, crop, pad, flip or RandomScaleCrop"
        )

    return kernel


def _register() -> None:
    tables: list[tuple[type, dict[str, Callable[..., Any]]]] = [
        *((kind, _target_kernels(kind)) for kind in TARGET_TYPES),
        (Intrinsics, _intrinsics_kernels()),
        (Poses, _poses_kernels()),
    ]
    for kind, kernels in tables:
        refused = {name: _refusal(name, kind) for name in REFUSED}
        for name, kernel in (kernels | refused).items():
            # torchvision's function of that name.
            F.register_kernel(getattr(F, name), kind)(kernel)


_register()
