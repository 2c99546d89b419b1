"""A fixed number of random views of each image, for stored features."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from crosstask.data.transforms.joint import JointTransform, Sample


class FixedViews:
    """The plain image, or one of a fixed number of draws of a random transform, for stored features.

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
