"""A chain of transforms over a sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from crosstask.data.feeding import Feeding
from crosstask.data.sample import Sample
from crosstask.data.transforms.scale_crop import RandomScaleCrop
from crosstask.data.transforms.tensor_types import TargetMap, unwrap, wrap
from crosstask.tasks.target import declared

IMAGES = ("image", "neighbours")


class JointTransform:
    """A chain of v2 transforms over a plain sample (a dictionary of tensors).

    Called on a sample with a map under a key that no task declares, it raises a `DataError`.

    Args:
        steps: Transforms of v2 or of this module, in order.
        targets: Whether targets move with the image; False keeps them at their native size.
        feeding: How the steps bring an image to a network's input, where they do so without chance;
            prediction then does the same. Where the image may fill a part of the input only,
            samples get an entry `placed`: height and width of that part. Where a step divided depth by
            its zoom, there is an entry `zoom` with it.
        in_floats: Bytes become floats before the steps, so that nothing is rounded; else the steps change
            bytes, several times faster.
    """

    takes_bytes = True

    def __init__(
        self,
        steps: Sequence[Any],
        targets: bool = True,
        feeding: Feeding | None = None,
        in_floats: bool = False,
    ) -> None:
        self.steps, self.targets, self.feeding = tuple(steps), targets, feeding
        self.in_floats = in_floats

    def __call__(self, sample: Mapping[str, Any]) -> Sample:
        if self.in_floats:
            sample = {k: _as_floats(v) if k in IMAGES else v for k, v in sample.items()}
        own = {k: v.declaration for k, v in sample.items() if isinstance(v, TargetMap)}
        known = {**declared(), **own}
        typed = wrap(sample, self.targets, known)
        if self.feeding is not None and self.feeding.fit == "keep":
            height, width = typed["image"].shape[-2:]
            placed = self.feeding.place((int(height), int(width))).content
            typed["placed"] = list(placed)
        for step in self.steps:
            typed = wrap(step(typed), self.targets, known)  # a step may give plain tensors back
            if isinstance(step, RandomScaleCrop) and step.divided_by is not None:
                typed["zoom"] = step.divided_by
        if "placed" in typed:
            typed["placed"] = torch.tensor(typed["placed"])
        return unwrap(typed)

    def __repr__(self) -> str:
        return f"JointTransform({', '.join(map(repr, self.steps))})"


def _as_floats(image: Any) -> Any:
    return image.float() / 255.0 if image.dtype == torch.uint8 else image
