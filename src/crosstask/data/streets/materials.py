"""One row of numbers per primitive: its colours, its texture, its two-colour pattern and its class."""

import torch
from jaxtyping import Float
from torch import Tensor

FIRST = slice(0, 3)
SECOND = slice(3, 6)
TOP = slice(6, 9)
WEIGHTS = slice(9, 13)
SCALE = 13
TOP_FROM = 14
PERIOD_U, DUTY_U, OFFSET_U = 15, 16, 17
PERIOD_V, DUTY_V, OFFSET_V = 18, 19, 20
LOW, HIGH, REACH = 21, 22, 23
VARIATION = 24
CLASS = 25
MOVING = 26
PHASE = 27

# Weights of the four texture channels: fine grain, clumps, stains, courses of brick.
TEXTURES: dict[str, tuple[float, float, float, float]] = {
    "plain": (0.03, 0.0, 0.04, 0.0),
    "plaster": (0.05, 0.0, 0.09, 0.0),
    "brick": (0.06, 0.0, 0.06, 0.16),
    "leaves": (0.12, 0.42, 0.10, 0.0),
    "wood": (0.10, 0.05, 0.08, 0.0),
    "cloth": (0.06, 0.10, 0.05, 0.0),
}

COMMON_TEXTURE = (0.09, 0.12, 0.08, 0.04)

_Value = float | int | Tensor


def material(
    street_class: int,
    color: Float[Tensor, "b n 3"],
    *,
    second: Float[Tensor, "b n 3"] | None = None,
    top: Float[Tensor, "b n 3"] | None = None,
    texture: str | Float[Tensor, "b n 4"] = "plain",
    scale: _Value = 4.0,
    top_from: _Value = 2.0,
    u: tuple[_Value, _Value, _Value] = (1e4, 0.0, 0.0),
    v: tuple[_Value, _Value, _Value] = (1e4, 1.0, 0.5),
    low: _Value = -1e4,
    high: _Value = 1e4,
    reach: _Value = 1e4,
    variation: _Value = 0.0,
    moving: _Value = 0.0,
    phase: _Value = 0.0,
) -> Float[Tensor, "b n columns"]:
    """Rows of material parameters.

    Args:
        color, second, top: display RGB of the surface, of the pattern on it, of faces that look up.
        texture: name in `TEXTURES`, or the four channel weights.
        scale: metres that one period of the texture spans.
        top_from: a face counts as top where its normal's upward part exceeds this.
        u, v: period (metres), duty and offset (periods) of the pattern along the surface and up.
        low, high: heights between which the pattern lives; reach: largest distance from u = 0.
        variation: how much the second colour varies from cell to cell.
    """
    values = (scale, top_from, *u, *v, low, high, reach, variation, street_class, moving, phase)
    weights = TEXTURES[texture] if isinstance(texture, str) else (0.0,) * 4
    fixed = [0.0 if isinstance(value, Tensor) else float(value) for value in values]
    template = torch.tensor((*(0.0,) * 9, *weights, *fixed), device=color.device)
    rows = template.repeat(*color.shape[:2], 1)
    rows[..., :9] = color.repeat(1, 1, 3)
    if second is not None:
        rows[..., SECOND] = second
    if top is not None:
        rows[..., TOP] = top
    if isinstance(texture, Tensor):
        rows[..., WEIGHTS] = texture
    for column, value in enumerate(values, start=SCALE):
        if isinstance(value, Tensor):
            rows[..., column] = value
    return rows
