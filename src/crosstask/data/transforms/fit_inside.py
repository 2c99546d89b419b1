"""Resizing to a network's input, with or without the aspect kept."""

from typing import Any

from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from crosstask.data.feeding import FITS, Fit, inside
from crosstask.data.sample import DataError


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


def to_size(size: tuple[int, int], fit: Fit) -> v2.Transform:
    if fit not in FITS:
        raise DataError(f"`fit` is {fit!r}; expected one of {', '.join(FITS)}")
    return FitInside(size) if fit == "keep" else v2.Resize(list(size), antialias=True)
