"""A chain of transforms over a sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from crosstask.data.feeding import Feeding
from crosstask.data.sample import Sample
from crosstask.data.transforms.scale_crop import RandomScaleCrop
from crosstask.data.transforms.tensor_types import TargetMap, unwrap, wrap
from crosstask.tasks.target import declared


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
        takes_bytes: Datasets give images as bytes, which is several times faster and rounds; else as floats.
    """

    def __init__(
        self,
        steps: Sequence[Any],
        targets: bool = True,
        feeding: Feeding | None = None,
        takes_bytes: bool = True,
    ) -> None:
        self.steps, self.targets, self.feeding = tuple(steps), targets, feeding
        self.takes_bytes = takes_bytes

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
            if isinstance(step, RandomScaleCrop) and step.divided_by is not None:
                typed["zoom"] = step.divided_by
        if "placed" in typed:
            typed["placed"] = torch.tensor(typed["placed"])
        return unwrap(typed)

    def __repr__(self) -> str:
        return f"JointTransform({', '.join(map(repr, self.steps))})"
