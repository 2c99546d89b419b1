"""What a label map is: one declaration for each kind, from which everything else derives.

A sample holds label maps under the names of tasks. What such a map looks like, what fills a hole in
it and how it follows a resize or a mirror is said once, in the `target` of its task class:

    @dataclass(frozen=True, kw_only=True)
    class Albedo(Task):
        name: str = "albedo"
        target: ClassVar[Target] = Target(channels=3, void=-1, unit="share of reflected light")

From that alone samples are checked, transformed, made void and batched.

The rule of lookup: a key of a sample belongs to the target that was declared under it in this
process. A task class declares its `target` under the default of its `name` when the class is made,
so importing the file is enough; `declare` adds a further key (`declare("height", Depth.target)`).
A key means one kind only (the same declaration again, out of a copy of its file, is no other), and a
map under an undeclared key is an error.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from types import FunctionType, MappingProxyType

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from crosstask.tasks.resample import resize_nearest

Size = tuple[int, int]


def flip_map(value: Shaped[Tensor, "*t"], axis: int) -> Shaped[Tensor, "*t"]:
    """Mirrors the pixels along `axis` (-1 left-right, -2 top-bottom) and leaves the values alone."""
    return value.flip(axis)


def mirror_vectors(value: Float[Tensor, "*c h w"], axis: int) -> Float[Tensor, "*c h w"]:
    """Mirrors the pixels and turns the component across the mirror: channel 0 is x, channel 1 is y.

    For vectors in the image plane (flow) or in the camera frame (normals).
    """
    mirrored = value.flip(axis)  # a copy, so it may change in place
    mirrored[..., 0 if axis == -1 else 1, :, :].neg_()
    return mirrored


def zero_or_one(value: Shaped[Tensor, "*t"]) -> str | None:
    """The `check` of a binary map with void 255."""
    legal = (value == 0) | (value == 1) | (value == 255)
    return None if bool(legal.all()) else "only 0, 1 and the void 255"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The label map of one kind of task.

    The functions are called on maps without a batch axis (`mirror` also on batches) and should be
    those of a module, so that a dataset can be sent to another process.

    Args:
        channels: size of the channel axis; 0 where there is none and the map is (H,W).
        void: value of a pixel without a label, in every channel.
        unit: what a value means.
        dtype: of the map in a sample. A reader may deliver whole numbers as bytes.
        resize: map, (height, width) -> map of that size; holes stay holes. Values that depend on the size of the
            image, such as a flow in pixels, change here too. See `crosstask.tasks.resample`.
        mirror: map, axis -> mirrored map, holes included; axis -1 swaps left and right, -2 top and bottom.
        check: map -> what was expected, where it holds an illegal value, else None.
        distance: whether values are metres along the optical axis: void beyond a dataset's `far`,
            and smaller where a transform brings everything nearer to the camera.

    Raises:
        ValueError: a void that is not finite, or not of `dtype`; channels below 0.
    """

    channels: int
    void: float
    unit: str
    dtype: torch.dtype = torch.float32
    resize: Callable[[Tensor, Size], Tensor] = resize_nearest
    mirror: Callable[[Tensor, int], Tensor] = flip_map
    check: Callable[[Tensor], str | None] | None = None
    distance: bool = False

    def __post_init__(self) -> None:
        if self.channels < 0:
            raise ValueError(f"`channels` is {self.channels}; expected 0 (no channel axis) or more")
        if not math.isfinite(self.void):
            raise ValueError(f"`void` is {self.void}; expected a finite number outside the labels")
        if not self.dtype.is_floating_point and not _holds(self.dtype, self.void):
            raise ValueError(
                f"`void` is {self.void}; expected a whole number that {self.dtype} holds"
            )

    @property
    def axes(self) -> tuple[str | int, ...]:
        """Shape of a map: (channels, "h", "w"), or ("h", "w")."""
        return (self.channels, "h", "w") if self.channels else ("h", "w")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a map may have this shape, at whatever height and width."""
        return len(shape) == len(self.axes) and (not self.channels or shape[0] == self.channels)

    def void_map(self, size: Size) -> Shaped[Tensor, "*c h w"]:
        """A map of this height and width without a single labelled pixel."""
        leading = (self.channels,) if self.channels else ()
        return torch.full((*leading, *size), self.void, dtype=self.dtype)

    def void_mask(self, value: Shaped[Tensor, "*c h w"]) -> Bool[Tensor, "h w"]:
        """Where a map has no label."""
        void = torch.eq(value, self.void)
        return void.reshape(-1, *void.shape[-2:]).all(dim=0)

    def prepared(self, value: Shaped[Tensor, "*t"]) -> Shaped[Tensor, "*t"]:
        """The map in a data type in which `resize`, `mirror` and `void` are exact.

        Bytes stay bytes until the end where that is so (class indices, void 255): they move faster.
        """
        plain = (
            self.resize is resize_nearest
            and self.mirror is flip_map
            and not self.dtype.is_floating_point
        )
        if value.dtype == torch.uint8 and plain and 0 <= self.void <= 255:
            return value
        return value.to(self.dtype)


def _holds(dtype: torch.dtype, value: float) -> bool:
    numbers = torch.iinfo(dtype)
    return value == int(value) and numbers.min <= value <= numbers.max


NO_TARGET = Target(channels=0, void=0, unit="nothing: what a class without a `target` has")
_TARGETS: dict[str, Target] = {}
_OWNERS: dict[str, type | None] = {}
_RESERVED = ("image", "intrinsics", "neighbours", "poses", "name", "source", "normalizers", "view",
             "stored_features", "features_stored")  # fmt: skip


def declared() -> Mapping[str, Target]:
    """Every key that may hold a label map in a sample, with its target."""
    return MappingProxyType(_TARGETS)


def alike(one: Target, other: Target) -> bool:
    """Whether two targets are the same declaration, also out of two copies of one file."""
    pairs = zip(astuple(one), astuple(other), strict=True)
    return all(a == b or _same_function(a, b) for a, b in pairs)


def _same_function(one: object, other: object) -> bool:
    functions = isinstance(one, FunctionType) and isinstance(other, FunctionType)
    return functions and one.__code__ == other.__code__  # type: ignore[attr-defined]


def declared_by(key: str) -> type | None:
    """The task class that declared a key, if one did."""
    return _OWNERS.get(key)


def declare(key: str, target: Target, *, owner: type | None = None) -> None:
    """Lets samples hold maps of this kind under `key`; a task class does so when it is made.

    Args:
        key: name of the task, and key in samples.
        target: what the maps are.
        owner: the task class that declares it. A class of the same name and place may declare the
            key anew (a notebook cell that runs again).

    Raises:
        ValueError: the key is not a name, or already another kind of target's; or a rule of the target
            makes labels out of holes (a mirrored void vector, say).
    """
    if not key.isidentifier() or key in _RESERVED:
        raise ValueError(
            f"`key` is {key!r}; expected letters, digits and underscores, and none of "
            f"{', '.join(_RESERVED)}; give the task another `name`"
        )
    _check_rules(key, target)
    if key not in _TARGETS or (owner and _place(owner) == _place(_OWNERS[key])):
        _TARGETS[key], _OWNERS[key] = target, owner
    elif not alike(_TARGETS[key], target):
        raise ValueError(
            f"`key` is {key!r}, which {_place(_OWNERS[key])} declared as another kind of "
            "target; expected one kind a key in all samples; give the task another `name`"
        )


def _check_rules(key: str, target: Target) -> None:
    """Whatever moves a map must leave one that is all void as it is."""
    void = target.void_map((2, 4))
    moved = {
        "mirror": [target.mirror(void, -1), target.mirror(void, -2)],
        "resize": [target.resize(void, (1, 3)), target.resize(void, (4, 6))],
    }
    for rule, maps in moved.items():
        if not all(bool(target.void_mask(value).all()) for value in maps):
            raise ValueError(
                f"`{rule}` of the target {key!r} changes pixels that are void ({target.void:g}); expected "
                "a hole to stay one; put the void back where the map had it, or take 0 as void"
            )


def _place(owner: type | None) -> str:
    return "another call" if owner is None else f"{owner.__module__}.{owner.__qualname__}"
