"""The transforms of training and evaluation sets, put together from their options."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from crosstask.data.feeding import RGB, Feeding, Fit
from crosstask.data.sample import DataError
from crosstask.data.transforms.fit_inside import to_size
from crosstask.data.transforms.joint import JointTransform
from crosstask.data.transforms.rotation import RandomRotation
from crosstask.data.transforms.scale_crop import Base, RandomScaleCrop


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
        steps.append(to_size(resize or size, fit))
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


def evaluation(
    size: tuple[int, int] | None = None,
    *,
    fit: Fit = "squeeze",
    targets: Literal["resized", "native"] = "resized",
) -> JointTransform:
    """The transform of an evaluation set: nothing random, images resized in floats as prediction does.

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
    return JointTransform([to_size(size, fit)], targets == "resized", feeding, takes_bytes=False)
