"""Colours: a palette of well-separated class colours and a perceptually ordered scale."""

import colorsys

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

VOID_COLOR = (52, 52, 58)
"""Dark grey of pixels without ground truth, in every image."""

MOST_COLORS = 65_534
_SPREAD = 10_368_889  # about 0.618 of all 24-bit colours

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
    """`number` RGB colours: 324 that are each as far as possible from void and from those before, then
    colours that merely differ."""
    rgb = [
        colorsys.hsv_to_rgb(hue / 36, saturation, value)
        for hue in range(36)
        for saturation in (0.35, 0.58, 0.8)
        for value in (0.55, 0.75, 0.95)
    ]
    candidates = (torch.tensor(rgb, dtype=torch.float64) * 255).round()
    if not 0 < number <= MOST_COLORS:
        raise ValueError(f"`number` is {number}; expected 1 to {MOST_COLORS} colours")
    distance = torch.cdist(candidates, torch.tensor([VOID_COLOR], dtype=torch.float64))[:, 0]
    chosen = [candidates[188]]  # a calm blue
    for _ in range(min(number, len(candidates)) - 1):
        distance = torch.minimum(distance, (candidates - chosen[-1]).norm(dim=1))
        chosen.append(candidates[int(distance.argmax())])
    colors = {(int(r), int(g), int(b)): None for r, g, b in torch.stack(chosen).tolist()}
    taken = {*colors, VOID_COLOR}
    for step in range(number + len(taken)):
        if len(colors) >= number:
            break
        mixed = step * _SPREAD % 2**24  # an odd factor: no value twice
        color = (mixed >> 16, mixed >> 8 & 255, mixed & 255)
        if color not in taken:
            colors[color] = None
    return tuple(colors)


def scale_colors(value: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Colours of numbers in [0, 1] (clamped): 0 is bright yellow, 1 nearly black."""
    anchors = torch.tensor(_SCALE, dtype=torch.float32, device=value.device).T[None]
    table = F.interpolate(anchors, size=256, mode="linear", align_corners=True)[0]
    index = (value.float().clamp(0, 1).nan_to_num() * 255).round().long()
    return table[:, index].round().to(torch.uint8)
