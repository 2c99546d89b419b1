"""Targets that the library does not know: colours, vectors that count pixels, a second depth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crosstask.tasks import Depth, Target, declare
from crosstask.tasks.resample import resize_nearest
from crosstask.tasks.target import mirror_vectors


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Vectors in pixels grow with the image; the void stays as it is."""
    height, width = flow.shape[-2:]
    factor = torch.tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
    small = resize_nearest(flow, size)
    return torch.where(small == FLOW.void, small, small * factor)


def mirror_flow(flow: Tensor, axis: int) -> Tensor:
    """One component turns; the void does not."""
    return torch.where(flow.flip(axis) == FLOW.void, FLOW.void, mirror_vectors(flow, axis))


def share(value: Tensor) -> str | None:
    legal = ((value >= 0) & (value <= 1)) | (value == ALBEDO.void)
    return None if bool(legal.all()) else "shares in [0, 1], void -1"


ALBEDO = Target(channels=3, void=-1, unit="share of reflected light", check=share)
FLOW = Target(channels=2, void=1000, unit="pixels (x, y)", resize=resize_flow, mirror=mirror_flow)
declare("own_albedo", ALBEDO)
declare("own_flow", FLOW)


@dataclass(frozen=True, kw_only=True)
class Height(Depth):
    """Depth under another name: the default of `name` declares it."""

    name: str = "own_height"

    def __init__(self, **options: object) -> None:
        super().__init__(**({"name": "own_height"} | options))
