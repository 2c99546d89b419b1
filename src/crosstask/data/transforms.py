"""Joint transforms: image, targets, camera, neighbours and poses move together.

    transform = training((256, 512), scale=(0.75, 1.5), jitter=0.5)
    dataset = Cityscapes(root, transform=transform)

Everything builds on `torchvision.transforms.v2` with the tensor types of
`crosstask.data.tensor_types`; any transform of v2 may join in. A label map moves as its kind
declares (`crosstask.tasks.target`); a map that nobody declared is an error. Random numbers come from torch's
global generator, which the loader seeds for every sample.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from crosstask.data.sample import DataError
from crosstask.data.tensor_types import Intrinsics, Poses, TargetMap, unwrap, wrap
from crosstask.tasks.target import declared

Sample = dict[str, Any]


class JointTransform:
    """A chain of v2 transforms over a plain sample (a dictionary of tensors).

    Called on a sample with a map under a key that no task declares, it raises a `DataError`.

    Args:
        steps: Transforms of v2 or of this module, in order.
        targets: Whether targets move with the image; False keeps them at their native size.
    """

    takes_bytes = True  # images may come as uint8, which resizes several times faster

    def __init__(self, steps: Sequence[Any], targets: bool = True) -> None:
        self.steps, self.targets = tuple(steps), targets

    def __call__(self, sample: Mapping[str, Any]) -> Sample:
        own = {k: v.declaration for k, v in sample.items() if isinstance(v, TargetMap)}
        known = {**declared(), **own}
        typed = wrap(sample, self.targets, known)
        for step in self.steps:
            typed = wrap(step(typed), self.targets, known)  # a step may give plain tensors back
        return unwrap(typed)

    def __repr__(self) -> str:
        return f"JointTransform({', '.join(map(repr, self.steps))})"


class RandomScaleCrop(v2.Transform):
    """Zoom by a random factor and cut a random window of fixed size; void where it leaves the image.

    Args:
        size: Height and width of the result.
        scale: Range of the zoom, drawn uniformly.
        base: Zoom 1 is `"fit"`, the smallest size at which the image covers `size` with its
            aspect kept, or `"native"`, the stored size.
        depth: `"keep"` leaves metres alone and lets the camera's focal length grow with the zoom:
            exact. `"divide"` divides depth by the zoom and keeps the focal length, the habit of
            the NYUD multi-task literature (everything comes nearer to the same camera; exact for
            a frontal scene only).
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float] = (0.5, 2.0),
        base: Literal["fit", "native"] = "fit",
        depth: Literal["keep", "divide"] = "keep",
    ) -> None:
        super().__init__()
        if not 0 < scale[0] <= scale[1]:
            raise DataError(f"`scale` is {scale}; expected (low, high) with 0 < low <= high")
        if base not in ("fit", "native") or depth not in ("keep", "divide"):
            raise DataError(
                f"`base` is {base!r}, `depth` {depth!r}; expected fit|native, keep|divide"
            )
        self.size, self.scale, self.base, self.depth = (
            (int(size[0]), int(size[1])),
            scale,
            base,
            depth,
        )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw zoom and window."""
        canvas = next(x.shape[-2:] for x in flat_inputs if isinstance(x, tv_tensors.Image))
        zoom = float(torch.empty(()).uniform_(*self.scale))
        fit = max(self.size[0] / canvas[0], self.size[1] / canvas[1]) if self.base == "fit" else 1.0
        window = [max(1, round(side / (zoom * fit))) for side in self.size]
        inside = window[0] <= canvas[0] and window[1] <= canvas[1]
        if not inside:  # shrink first, then the window is `size` in the shrunken image
            canvas = [max(1, round(side * zoom * fit)) for side in canvas]
            window = list(self.size)
        corner = [_between(have - want) for have, want in zip(canvas, window, strict=True)]
        return {
            "zoom": zoom,
            "inside": inside,
            "canvas": list(canvas),
            "corner": corner,
            "window": window,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply the drawn window to one tensor."""
        if params["inside"]:
            result = self._call_kernel(
                F.resized_crop,
                inpt,
                *params["corner"],
                *params["window"],
                size=list(self.size),
                antialias=True,
            )
        else:
            result = self._call_kernel(F.resize, inpt, params["canvas"], antialias=True)
            result = self._call_kernel(F.crop, result, *params["corner"], *params["window"])
        return result if self.depth == "keep" else _divided(result, params["zoom"])


def _between(room: int) -> int:
    """A random offset between 0 and `room`, which may be negative (padding)."""
    low, high = min(room, 0), max(room, 0)
    return int(torch.randint(low, high + 1, ()))


def _divided(value: Any, zoom: float) -> Any:
    if isinstance(value, TargetMap) and value.declaration.distance:
        return TargetMap(value.as_subclass(Tensor) / zoom, value.declaration)
    if isinstance(value, Intrinsics):
        matrix = value.as_subclass(Tensor).clone()
        matrix[:2, :2] /= zoom
        return Intrinsics(matrix, canvas_size=value.canvas_size)
    if isinstance(value, Poses):
        raise DataError('`depth="divide"` bends space, so poses cannot follow; use depth="keep"')
    return value


def training(
    size: tuple[int, int],
    *,
    resize: tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
    base: Literal["fit", "native"] = "fit",
    depth: Literal["keep", "divide"] = "keep",
    flip: float = 0.5,
    jitter: float = 0.0,
) -> JointTransform:
    """The augmentation of a training set.

    Args:
        size: Height and width of the samples.
        resize: Resize to this first, then cut a random window of `size` out of it (DenseMTL
            adaptation from VKITTI2: resize=(512, 1696), size=(512, 1024)).
        scale: Random zoom range (see `RandomScaleCrop`); None, the paper's way, resizes the whole
            image to `size` and does not keep its aspect.
        base, depth: See `RandomScaleCrop`.
        flip: Probability of a mirror image.
        jitter: Probability of changed brightness, contrast, saturation (each 0.8-1.2) and hue
            (0.1 either way); 0 as in the paper.
    """
    if resize is not None and scale is not None:
        raise DataError("`resize` and `scale` exclude each other; give one of them")
    steps: list[Any] = []
    if scale is not None:
        steps.append(RandomScaleCrop(size, scale, base, depth))
    else:
        steps.append(v2.Resize(list(resize or size), antialias=True))
        if resize is not None:
            steps.append(v2.RandomCrop(list(size), pad_if_needed=True))
    if flip > 0:
        steps.append(v2.RandomHorizontalFlip(flip))
    if jitter > 0:
        colour = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
        steps.append(v2.RandomApply([colour], p=jitter))
    return JointTransform(steps)


def evaluation(
    size: tuple[int, int] | None = None, *, targets: Literal["resized", "native"] = "resized"
) -> JointTransform:
    """The transform of an evaluation set: nothing random.

    Args:
        size: Height and width of the image; None leaves it as stored.
        targets: `"native"` keeps the labels as stored, so that outputs are enlarged to them before
            they are scored; `"resized"` scores at `size`, as the paper does.
    """
    if targets not in ("resized", "native"):
        raise DataError(f"`targets` is {targets!r}; expected resized or native")
    steps = [] if size is None else [v2.Resize(list(size), antialias=True)]
    return JointTransform(steps, targets=targets == "resized")
