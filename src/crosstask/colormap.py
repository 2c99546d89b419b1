"""Colours: a palette of well-separated class colours and a perceptually ordered scale."""

import colorsys

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

VOID_COLOR = (52, 52, 58)
"""Dark grey of pixels without ground truth, in every picture."""

# Near to far: warm and bright to cold and dark; lightness falls steadily along the scale.
_SCALE = (
    (252, 246, 184),
    (253, 205, 114),
    (249, 152, 78),
    (229, 99, 81),
    (190, 57, 107),
    (140, 36, 127),
    (90, 26, 122),
    (47, 20, 92),
    (16, 10, 38),
)


def palette(number: int) -> tuple[tuple[int, int, int], ...]:
    """`number` distinct RGB colours: hues a golden angle apart, three brightness levels in turn."""
    levels = ((0.62, 0.95), (0.85, 0.72), (0.40, 0.85))
    colors = []
    for index in range(number):
        saturation, value = levels[index % 3]
        rgb = colorsys.hsv_to_rgb((0.58 + index * 0.381966) % 1.0, saturation, value)
        colors.append(tuple(round(255 * channel) for channel in rgb))
    return tuple(colors)  # type: ignore[arg-type]


def scale_colors(value: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Colours of numbers in [0, 1] (clamped): 0 is bright yellow, 1 nearly black."""
    anchors = torch.tensor(_SCALE, dtype=torch.float32, device=value.device).T[None]
    table = F.interpolate(anchors, size=256, mode="linear", align_corners=True)[0]
    index = (value.float().clamp(0, 1).nan_to_num() * 255).round().long()
    return table[:, index].round().to(torch.uint8)
