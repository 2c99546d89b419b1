"""How images are brought to a network's input: the same in training, validation, prediction and export.

`model.json` holds the record under `feeding`:

    {"size": [256, 512], "fit": "keep", "aspects": [1.33, 1.78],
     "channels": ["red", "green", "blue"], "ranges": {}, "depth_scale": 1000.0}

`size` is height and width of the network's input. `fit` says how validation fed it, which prediction
repeats:
* `keep`: the image is resized until it fits into `size`, its aspect kept; black fills the rest, at the
  right and at the bottom.
* `squeeze`: the whole image is resized to `size`, whatever its aspect. An image whose aspect lies
  outside of `aspects`, those of the images that were fed, is stretched as the nearest of them was, to
  as many pixels as `size` has: nothing appears more distorted than in training.
Outputs are cropped to the image (`keep`) and resized to its own size. The rules are arithmetic without
branches (`sym_min`, `sym_max`): an export computes them for every image. A model without the record takes
an image in its own aspect, with as many pixels as `size` of model.json has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as F

Size = tuple[int, int]
Fit = Literal["keep", "squeeze"]
FITS: tuple[Fit, ...] = ("keep", "squeeze")
RGB = ("red", "green", "blue")
ASPECTS = (1e-3, 1e3)
"""Least and largest width / height that is recorded; a damaged header says anything."""
SMALLEST = 32
TOLERANCE = 1.02
"""Aspects (width / height) that differ by less count as the same."""
FAR = 1.2
"""An aspect that differs by more from all of training's is told."""


@dataclass(frozen=True)
class Place:
    """Where an image lies in the network's input: `content` (height, width) at the top left of `canvas`."""

    content: Size
    canvas: Size


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """The record `feeding` of model.json; see the module.

    Attributes:
        size: height and width of the network's input.
        fit: how an image is brought to it.
        aspects: least and largest width / height of the images of training and validation; None
            where they are not known.
        channels: names of the input's channels, in order.
        ranges: {channel: values that become 0 and 1} of channels that are no part of a photograph
            (metres, degrees).
        depth_scale: units a metre of integers, of the channel `depth`.

    Raises:
        ValueError: an impossible entry; says what was expected.
    """

    size: Size
    fit: Fit = "squeeze"
    aspects: tuple[float, float] | None = None
    channels: tuple[str, ...] = RGB
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    depth_scale: float = 1000.0

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"`fit` is {self.fit!r}; expected one of {', '.join(FITS)}")
        if min(self.size) < 1:
            raise ValueError(f"`size` is {self.size}; expected height and width above 0")
        if self.aspects is not None and not 0 < self.aspects[0] <= self.aspects[1]:
            raise ValueError(f"`aspects` is {self.aspects}; expected (least, largest), above 0")

    def place(self, image: Size, size: Size | None = None) -> Place:
        """Where an image of a height and width comes to lie.

        Args:
            image: height and width.
            size: in place of the record's; the aspect is squeezed to it, or kept within it, whatever
                that of the image.
        """
        if self.fit == "keep":
            canvas = size or self.size
            return Place(inside(image, canvas), canvas)
        if size is not None:
            return Place(size, size)
        size = self._squeezed(image[1] / image[0])
        return Place(size, size)

    def _squeezed(self, aspect: float) -> Size:
        if self.aspects is None:
            return self.size
        height, width = self.size
        low, high = self.aspects
        nearest = torch.sym_min(torch.sym_max(aspect, low), high)
        stretch = aspect / nearest
        # 0 within TOLERANCE, without a branch, which an export would take once for all images
        beyond = torch.sym_min(1.0, torch.sym_max(stretch, 1.0 / stretch) // TOLERANCE)
        fed = (1.0 + beyond * (stretch - 1.0)) * (width / height)
        return of_area(self.size, cast(float, fed))  # of an export a symbol

    def note(self, image: Size) -> str | None:
        """One sentence about an image whose aspect is far from all of training's."""
        aspect = image[1] / image[0]
        if self.aspects is None or self.aspects[0] / FAR <= aspect <= self.aspects[1] * FAR:
            return None
        low, high = (f"{x:.2f}" for x in self.aspects)
        trained = low if low == high else f"{low} to {high}"
        return (
            f"the image's aspect (width / height) is {aspect:.2f}, far from training's {trained}: "
            "expect worse, or choose another `size`"
        )

    def to_spec(self) -> dict[str, Any]:
        """JSON-safe, read back by `from_spec`."""
        aspects = None if self.aspects is None else [round(x, 4) for x in self.aspects]
        return {
            "size": list(self.size),
            "fit": self.fit,
            "aspects": aspects,
            "channels": list(self.channels),
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "depth_scale": self.depth_scale,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | None) -> "Feeding | None":
        """The feeding that `to_spec` described; None where a model does not name it."""
        if not spec:
            return None
        aspects = spec.get("aspects")
        return cls(
            size=cast(Size, tuple(spec["size"])),
            fit=spec["fit"],
            aspects=None if aspects is None else (float(aspects[0]), float(aspects[1])),
            channels=tuple(spec.get("channels", RGB)),
            ranges={k: (float(v[0]), float(v[1])) for k, v in spec.get("ranges", {}).items()},
            depth_scale=float(spec.get("depth_scale", 1000.0)),
        )


def inside(image: Size, canvas: Size) -> Size:
    """The largest height and width with the image's aspect that lie in the canvas."""
    scale = cast(float, torch.sym_min(canvas[0] / image[0], canvas[1] / image[1]))
    height, width = (torch.sym_max(1, round(side * scale)) for side in image)
    return cast(Size, (torch.sym_min(height, canvas[0]), torch.sym_min(width, canvas[1])))


def of_area(size: Size, aspect: float) -> Size:
    """Height and width of an aspect (width / height), with as many pixels as `size`."""
    height = (size[0] * size[1] / aspect) ** 0.5
    return torch.sym_max(SMALLEST, round(height)), torch.sym_max(SMALLEST, round(height * aspect))


def feed(images: Shaped[Tensor, "b c h w"], place: Place) -> Float[Tensor, "b c H W"]:
    """Images as the network takes them: resized as training's are, black at the right and bottom.

    In floats, as evaluation and exported files do, so that all measure the same metres. (Training resizes
    bytes, which is faster, and rounds twice on the way: half a level of noise.)

    Args:
        images: bytes, or floats in [0,1].
    """
    images = images.float() / 255.0 if images.dtype == torch.uint8 else images
    if tuple(images.shape[-2:]) != place.content:
        images = F.resize(images, list(place.content), antialias=True)
    down, right = (c - s for c, s in zip(place.canvas, place.content, strict=True))
    return functional.pad(images, (0, right, 0, down)) if down or right else images


def common(aspects: Sequence[float]) -> tuple[float, float] | None:
    """Least and largest of some aspects, within `ASPECTS`; None of none."""
    held = [min(max(aspect, ASPECTS[0]), ASPECTS[1]) for aspect in aspects]
    return (min(held), max(held)) if held else None
