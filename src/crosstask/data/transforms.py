"""Joint transforms: image, targets, camera, neighbours and poses move together.

    transform = training((256, 512), scale=(0.75, 1.5), jitter=0.5)
    dataset = Cityscapes(root, transform=transform)

Everything builds on `torchvision.transforms.v2` with the tensor types of
`crosstask.data.tensor_types`; any transform of v2 may join in. A label map moves as its kind
declares (`crosstask.tasks.target`); a map that nobody declared is an error. Random numbers come from torch's
global generator, which the loader seeds for every sample.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from crosstask.data.feeding import FITS, RGB, Feeding, Fit, inside
from crosstask.data.rotation import RandomRotation
from crosstask.data.sample import DataError
from crosstask.data.tensor_types import Intrinsics, Poses, TargetMap, unwrap, wrap
from crosstask.tasks.target import declared

Sample = dict[str, Any]
Base = Literal["fit", "inside", "native"]


class JointTransform:
    """A chain of v2 transforms over a plain sample (a dictionary of tensors).

    Called on a sample with a map under a key that no task declares, it raises a `DataError`.

    Args:
        steps: Transforms of v2 or of this module, in order.
        targets: Whether targets move with the image; False keeps them at their native size.
        feeding: How the steps bring an image to a network's input, where they do so without chance;
            prediction then does the same. Where the image may fill a part of the input only,
            samples get an entry `placed`: height and width of that part.
    """

    takes_bytes = True  # images may come as uint8, which resizes several times faster

    def __init__(
        self, steps: Sequence[Any], targets: bool = True, feeding: Feeding | None = None
    ) -> None:
        self.steps, self.targets, self.feeding = tuple(steps), targets, feeding

    def __call__(self, sample: Mapping[str, Any]) -> Sample:
        own = {k: v.declaration for k, v in sample.items() if isinstance(v, TargetMap)}
        known = {**declared(), **own}
        typed = wrap(sample, self.targets, known)
        if self.feeding is not None and self.feeding.fit == "keep":
            height, width = typed["image"].shape[-2:]
            placed = self.feeding.place((int(height), int(width))).content
            typed["placed"] = list(placed)
        for step in self.steps:
            typed = wrap(step(typed), self.targets, known)  # a step may give plain tensors back
        if "placed" in typed:
            typed["placed"] = torch.tensor(typed["placed"])
        return unwrap(typed)

    def __repr__(self) -> str:
        return f"JointTransform({', '.join(map(repr, self.steps))})"


class RandomScaleCrop(v2.Transform):
    """Zoom by a random factor and cut a random window of fixed size; void where it leaves the image.

    Args:
        size: Height and width of the result.
        scale: Range of the zoom, drawn uniformly.
        base: Zoom 1 is `"fit"`, the smallest size at which the image covers `size` with its
            aspect kept, `"inside"`, the largest at which it fits into `size`, or `"native"`, the
            stored size.
        depth: `"keep"` leaves metres alone and lets the camera's focal length grow with the zoom:
            exact. `"divide"` divides depth by the zoom and keeps the focal length, the habit of
            the NYUD multi-task literature (everything comes nearer to the same camera; exact for
            a frontal scene only).
        most: Largest share of the labelled pixels of a window that may be of one class; the window is
            drawn anew up to ten times (ATRC: 0.75). The first map of classes in the sample decides.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float] = (0.5, 2.0),
        base: Base = "fit",
        depth: Literal["keep", "divide"] = "keep",
        most: float | None = None,
    ) -> None:
        super().__init__()
        if most is not None and not 0 < most <= 1:
            raise DataError(f"`most` is {most}; expected a share in (0, 1], or None")
        self.most = most
        if not 0 < scale[0] <= scale[1]:
            raise DataError(f"`scale` is {scale}; expected (low, high) with 0 < low <= high")
        if base not in get_args(Base) or depth not in ("keep", "divide"):
            raise DataError(
                f"`base` is {base!r}, `depth` {depth!r}; expected fit|inside|native, keep|divide"
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
        ratios = [want / have for want, have in zip(self.size, canvas, strict=True)]
        fit = {"fit": max(ratios), "inside": min(ratios), "native": 1.0}[self.base]
        window = [max(1, round(side / (zoom * fit))) for side in self.size]
        inside = window[0] <= canvas[0] and window[1] <= canvas[1]
        if not inside:  # shrink first, then the window is `size` in the shrunken image
            canvas = [max(1, round(side * zoom * fit)) for side in canvas]
            window = list(self.size)
        labels = next((x for x in flat_inputs if isinstance(x, TargetMap) and x.ndim == 2), None)
        for _ in range(1 if self.most is None or labels is None else 10):
            corner = [_between(have - want) for have, want in zip(canvas, window, strict=True)]
            if labels is None or _largest_share(labels, corner, window, canvas) < (self.most or 2):
                break
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


class FitInside(v2.Transform):
    """Resize with the aspect kept until the image lies within `size`; black, and void, fill the rest.

    The image lies at the top left, see `crosstask.data.feeding`.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = (int(size[0]), int(size[1]))

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The size that the image gets."""
        canvas = next(x.shape[-2:] for x in flat_inputs if isinstance(x, tv_tensors.Image))
        return {"content": list(inside((int(canvas[0]), int(canvas[1])), self.size))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize and pad one tensor."""
        result = self._call_kernel(F.resize, inpt, params["content"], antialias=True)
        down, right = (s - c for s, c in zip(self.size, params["content"], strict=True))
        if down == right == 0:
            return result
        return self._call_kernel(F.pad, result, [0, 0, right, down])


class OnColours(v2.Transform):
    """Another transform on the first three channels of images alone; the others stay."""

    def __init__(self, inner: v2.Transform) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Any) -> Any:
        """Colours out, changed, in again."""
        sample = inputs[0]
        pixels = {k: v for k, v in sample.items() if isinstance(v, tv_tensors.Image)}
        colours = {k: tv_tensors.Image(v[..., :3, :, :]) for k, v in pixels.items()}
        changed = self.inner(colours)
        joined = {
            k: tv_tensors.Image(torch.cat([changed[k], v[..., 3:, :, :]], dim=-3))
            for k, v in pixels.items()
        }
        return {**sample, **joined}


def _largest_share(
    labels: TargetMap, corner: Sequence[int], window: Sequence[int], canvas: Sequence[int]
) -> float:
    """Share of the most frequent class among the labelled pixels of a window of the canvas."""
    ranges = [
        slice(max(0, round(at * full / side)), max(0, round((at + size) * full / side)))
        for at, size, side, full in zip(corner, window, canvas, labels.shape[-2:], strict=True)
    ]
    part = labels.as_subclass(Tensor)[ranges[0], ranges[1]].flatten().long()
    count = part[part != labels.declaration.void].bincount()
    return float(count.max() / count.sum()) if count.numel() else 1.0


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
    fit: Fit = "squeeze",
    resize: tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
    base: Base | None = None,
    depth: Literal["keep", "divide"] = "keep",
    flip: float = 0.5,
    jitter: float = 0.0,
    channels: Sequence[str] = RGB,
    rotation: float | None = None,
    most: float | None = None,
) -> JointTransform:
    """The augmentation of a training set.

    Args:
        size: Height and width of the samples.
        fit: `"squeeze"`, the paper's way, resizes the whole image and does not keep its aspect;
            `"keep"` keeps it and fills what is left with black and void, see `FitInside`.
        resize: Resize to this first, then cut a random window of `size` out of it (DenseMTL
            adaptation from VKITTI2: resize=(512, 1696), size=(512, 1024)).
        scale: Random zoom range (see `RandomScaleCrop`); None is no zoom.
        base, depth: See `RandomScaleCrop`; `base` is `"inside"` with `fit="keep"`, else `"fit"`.
        flip: Probability of a mirror image.
        jitter: Probability of changed brightness, contrast, saturation (each 0.8-1.2) and hue
            (0.1 either way); 0 as in the paper.
        channels: Names of the image's channels; the jitter changes red, green and blue alone.
        rotation: Largest random rotation in degrees, before anything else (see `RandomRotation`).
        most: See `RandomScaleCrop`; needs `scale`.
    """
    if resize is not None and scale is not None:
        raise DataError("`resize` and `scale` exclude each other; give one of them")
    if most is not None and scale is None:
        raise DataError(f"`most` is {most}, but no window is drawn; give a `scale` with it")
    steps: list[Any] = [RandomRotation(rotation)] if rotation else []
    if scale is not None:
        around: Base = "inside" if fit == "keep" else "fit"
        steps.append(RandomScaleCrop(size, scale, base or around, depth, most))
    else:
        steps.append(_to_size(resize or size, fit))
        if resize is not None:
            steps.append(v2.RandomCrop(list(size), pad_if_needed=True))
    if flip > 0:
        steps.append(v2.RandomHorizontalFlip(flip))
    if jitter > 0:
        colour = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
        if tuple(channels[:3]) != RGB:
            raise DataError(
                f"`jitter` changes colours, which an image of {', '.join(channels)} does not have; "
                "leave it at 0"
            )
        change: v2.Transform = v2.RandomApply([colour], p=jitter)
        steps.append(change if len(channels) == 3 else OnColours(change))
    return JointTransform(steps)


def _to_size(size: tuple[int, int], fit: Fit) -> v2.Transform:
    if fit not in FITS:
        raise DataError(f"`fit` is {fit!r}; expected one of {', '.join(FITS)}")
    return FitInside(size) if fit == "keep" else v2.Resize(list(size), antialias=True)


class FixedViews:
    """The plain image, or one of so many fixed draws of a random transform, for stored features.

    View 0 is the plain one. Which view a sample shows is drawn like any random number; what view v
    of an image looks like depends on v and the frame's name alone, in every run. The view's number
    is added to the sample (`view`).

    Args:
        plain: Nothing random, and images of the same size.
        random: The augmentation.
        views: How many, with the plain one.
    """

    takes_bytes = True

    def __init__(self, plain: JointTransform, random: JointTransform, views: int) -> None:
        self.plain, self.random, self.views = plain, random, views

    def __call__(self, sample: Mapping[str, Any]) -> Sample:
        view = int(torch.randint(self.views, ()))
        if view == 0:
            return {**self.plain(sample), "view": view}
        name = f"{sample.get('source')}/{sample.get('name')}/{view}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]))
            return {**self.random(sample), "view": view}

    def __repr__(self) -> str:
        return f"FixedViews({self.plain}, {self.random}, {self.views})"


def evaluation(
    size: tuple[int, int] | None = None,
    *,
    fit: Fit = "squeeze",
    targets: Literal["resized", "native"] = "resized",
) -> JointTransform:
    """The transform of an evaluation set: nothing random.

    Args:
        size: Height and width of the image; None leaves it as stored.
        fit: How it gets that size, see `training`.
        targets: `"native"` keeps the labels as stored, so that outputs are enlarged to them before
            they are scored; `"resized"` scores at `size`, as the paper does.
    """
    if targets not in ("resized", "native"):
        raise DataError(f"`targets` is {targets!r}; expected resized or native")
    if size is None:
        return JointTransform([], targets=targets == "resized")
    feeding = Feeding(size=size, fit=fit)
    return JointTransform([_to_size(size, fit)], targets == "resized", feeding)
