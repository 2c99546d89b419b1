"""Large images through a network in overlapping windows, outputs averaged where they overlap."""

import torch
from torch import Tensor, nn


class SlidingWindow(nn.Module):
    """Wraps a network; image in, {task: [fine]} out, at any size not smaller than the window.

    Windows overlap by at least `overlap` of their side and are evenly spread; each output is
    weighted by a pyramid that falls off towards the window's border, so that seams vanish.
    Smaller images go through in one piece.

    Args:
        network: image (B,3,H,W) -> {task: [coarse, ..., fine]}.
        window: (height, width).
        overlap: share of the window that neighbours have in common, in [0, 1).
    """

    def __init__(self, network: nn.Module, window: tuple[int, int], overlap: float = 0.33) -> None:
        super().__init__()
        if min(window) < 32 or not 0 <= overlap < 1:
            raise ValueError(
                f"`window` is {window}, `overlap` {overlap}; expected at least 32x32 and [0, 1)"
            )
        self.network, self.window, self.overlap = network, window, overlap

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        height, width = image.shape[-2:]
        rows = starts(height, self.window[0], self.overlap)
        columns = starts(width, self.window[1], self.overlap)
        h, w = min(height, self.window[0]), min(width, self.window[1])
        weight = _pyramid(h, w).to(image)
        sums: dict[str, Tensor] = {}
        total = image.new_zeros(1, 1, height, width)
        for top in rows:
            for left in columns:
                outputs = self.network(image[..., top : top + h, left : left + w])
                place = (..., slice(top, top + h), slice(left, left + w))
                total[place] += weight
                for task, levels in outputs.items():
                    if task == "auxiliary":
                        continue
                    part = levels[-1].float()
                    if task not in sums:
                        sums[task] = part.new_zeros(*part.shape[:2], height, width)
                    sums[task][place] += part * weight
        return {task: [value / total] for task, value in sums.items()}


def starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of evenly spread windows that cover `length`."""
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    number = -(-(length - window) // step) + 1
    return [round(i * (length - window) / (number - 1)) for i in range(number)]


def _pyramid(height: int, width: int) -> Tensor:
    def ramp(n: int) -> Tensor:
        x = torch.arange(n, dtype=torch.float32)
        return torch.minimum(x + 1, n - x)

    return torch.minimum(ramp(height)[:, None] / height, ramp(width)[None] / width)
