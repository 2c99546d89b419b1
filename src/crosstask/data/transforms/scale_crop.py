"""Random zoom and window: the same scene from nearer or farther, and a part of it."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from crosstask.data.sample import DataError
from crosstask.data.transforms.tensor_types import Intrinsics, Poses, TargetMap

Base = Literal["fit", "inside", "native"]


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
            a frontal scene only). Normals stay those of the scene: `JointTransform` says in the
            sample's entry `zoom` by what depth was divided.
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
        self.divided_by: float | None = None  # in the last sample
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
        self.divided_by = zoom if self.depth == "divide" else None
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
