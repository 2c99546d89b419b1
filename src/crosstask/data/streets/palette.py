"""Colours of things: each palette lists display RGB for the source domain and, place by place, for the target."""

import torch
from jaxtyping import Float
from torch import Tensor

from crosstask.data.streets.dice import Dice
from crosstask.data.streets.style import Style

_Colors = tuple[tuple[float, float, float], ...]

PALETTES: dict[str, tuple[_Colors, _Colors]] = {
    "facade": (
        (
            (0.86, 0.78, 0.63),
            (0.74, 0.46, 0.37),
            (0.80, 0.72, 0.62),
            (0.88, 0.84, 0.76),
            (0.70, 0.56, 0.45),
        ),
        (
            (0.47, 0.53, 0.60),
            (0.56, 0.60, 0.55),
            (0.80, 0.82, 0.86),
            (0.38, 0.40, 0.45),
            (0.66, 0.62, 0.66),
        ),
    ),
    "roof": (
        ((0.55, 0.29, 0.23), (0.43, 0.34, 0.31), (0.60, 0.36, 0.27)),
        ((0.30, 0.32, 0.37), (0.26, 0.35, 0.36), (0.40, 0.40, 0.44)),
    ),
    "glass": (
        ((0.26, 0.33, 0.42), (0.33, 0.40, 0.47), (0.20, 0.25, 0.32)),
        ((0.30, 0.28, 0.26), (0.42, 0.44, 0.44), (0.55, 0.53, 0.44)),
    ),
    "car": (
        (
            (0.78, 0.10, 0.10),
            (0.12, 0.22, 0.60),
            (0.90, 0.90, 0.92),
            (0.13, 0.13, 0.16),
            (0.62, 0.64, 0.68),
            (0.10, 0.42, 0.50),
        ),
        (
            (0.45, 0.16, 0.20),
            (0.28, 0.34, 0.48),
            (0.72, 0.70, 0.64),
            (0.24, 0.24, 0.24),
            (0.78, 0.56, 0.22),
            (0.30, 0.40, 0.30),
        ),
    ),
    "truck": (
        ((0.95, 0.95, 0.93), (0.93, 0.62, 0.12), (0.20, 0.45, 0.80), (0.88, 0.85, 0.30)),
        ((0.60, 0.62, 0.60), (0.50, 0.30, 0.24), (0.36, 0.44, 0.40), (0.70, 0.66, 0.58)),
    ),
    "leaf": (
        ((0.25, 0.43, 0.15), (0.33, 0.50, 0.19), (0.21, 0.38, 0.20), (0.41, 0.52, 0.20)),
        ((0.58, 0.42, 0.16), (0.44, 0.40, 0.20), (0.62, 0.34, 0.18), (0.34, 0.38, 0.24)),
    ),
    "bark": (((0.36, 0.27, 0.20), (0.45, 0.36, 0.28)), ((0.30, 0.29, 0.28), (0.22, 0.20, 0.20))),
    "grass": (
        ((0.42, 0.60, 0.24), (0.50, 0.62, 0.30), (0.36, 0.54, 0.24)),
        ((0.56, 0.54, 0.34), (0.46, 0.44, 0.32), (0.62, 0.56, 0.40)),
    ),
    "asphalt": (
        ((0.40, 0.40, 0.42), (0.34, 0.34, 0.37), (0.45, 0.44, 0.44)),
        ((0.52, 0.50, 0.47), (0.27, 0.28, 0.30), (0.58, 0.54, 0.50)),
    ),
    "paving": (
        ((0.68, 0.64, 0.60), (0.74, 0.69, 0.64), (0.66, 0.58, 0.53)),
        ((0.56, 0.57, 0.60), (0.48, 0.50, 0.50), (0.64, 0.62, 0.60)),
    ),
    "paint": (((0.96, 0.96, 0.94), (0.95, 0.93, 0.86)), ((0.86, 0.78, 0.46), (0.80, 0.80, 0.78))),
    "fence": (
        ((0.58, 0.38, 0.20), (0.66, 0.47, 0.27), (0.47, 0.31, 0.18)),
        ((0.44, 0.46, 0.46), (0.32, 0.40, 0.36), (0.60, 0.58, 0.54)),
    ),
    "metal": (((0.34, 0.36, 0.38), (0.46, 0.48, 0.50)), ((0.26, 0.30, 0.28), (0.56, 0.56, 0.54))),
    "plate": (
        ((0.86, 0.10, 0.12), (0.10, 0.28, 0.78), (0.95, 0.78, 0.10)),
        ((0.70, 0.24, 0.20), (0.14, 0.42, 0.36), (0.86, 0.60, 0.22)),
    ),
    "symbol": (((0.97, 0.97, 0.97), (0.98, 0.95, 0.90)), ((0.86, 0.86, 0.84), (0.20, 0.20, 0.22))),
    "cloth": (
        (
            (0.90, 0.32, 0.16),
            (0.92, 0.76, 0.20),
            (0.62, 0.16, 0.50),
            (0.84, 0.20, 0.34),
            (0.20, 0.62, 0.62),
        ),
        (
            (0.30, 0.32, 0.42),
            (0.52, 0.30, 0.28),
            (0.24, 0.24, 0.26),
            (0.60, 0.58, 0.54),
            (0.36, 0.40, 0.30),
        ),
    ),
    "trousers": (
        ((0.17, 0.20, 0.32), (0.22, 0.20, 0.20), (0.30, 0.33, 0.44)),
        ((0.24, 0.22, 0.22), (0.40, 0.36, 0.30), (0.16, 0.18, 0.22)),
    ),
    "skin": (
        ((0.88, 0.68, 0.56), (0.62, 0.43, 0.32), (0.78, 0.57, 0.44)),
        ((0.84, 0.64, 0.54), (0.50, 0.36, 0.28), (0.72, 0.54, 0.42)),
    ),
    "hair": (
        ((0.20, 0.14, 0.10), (0.42, 0.30, 0.16), (0.10, 0.10, 0.11)),
        ((0.20, 0.16, 0.14), (0.50, 0.46, 0.42), (0.12, 0.11, 0.11)),
    ),
    "rubber": (((0.09, 0.09, 0.10), (0.13, 0.13, 0.13)), ((0.12, 0.12, 0.12), (0.16, 0.16, 0.16))),
}


class Paints:
    """Hands out display RGB of named palettes, with jitter and camouflage, and develops it to linear RGB."""

    def __init__(self, dice: Dice, style: Style) -> None:
        self._dice, self._style = dice, style
        self._saturation = dice.uniform(1, *style.saturation)[:, :, None]
        self.mingle = dice.unit(1)[:, 0] * min(1.0, 1.6 * style.camouflage)
        """How far the textures of all surfaces are drawn to a common one, per scene (b,)."""

    def __call__(
        self, palette: str, count: int, jitter: float = 0.06, *, camouflage: bool = True
    ) -> Float[Tensor, "b n 3"]:
        """``count`` colours of a palette for every scene of the batch; some from elsewhere if ``camouflage``."""
        dice, style = self._dice, self._style
        source, target = PALETTES[palette]
        table = [
            [a + style.palette * (b - a) for a, b in zip(*pair, strict=True)]
            for pair in zip(source, target, strict=True)
        ]
        draw = dice.unit(4 * count).unflatten(1, (count, 4))
        colors = torch.tensor(table, device=draw.device)
        chosen = colors[(draw[..., 0] * len(table)).to(torch.int64)]
        noise = draw[..., 1:] * 2 - 1
        if style.camouflage and camouflage:
            free = 0.47 + 0.38 * noise[..., :1] + 0.16 * noise.flip(-1)
            chosen = torch.where(dice.chance(count, style.camouflage)[..., None], free, chosen)
        return torch.add(chosen, noise + noise[..., :1], alpha=0.55 * jitter)

    def develop(self, colors: Float[Tensor, "b n columns"]) -> Float[Tensor, "b n columns"]:
        """Linear RGB (display RGB squared) at the scene's saturation, of rows of RGB triples."""
        triples = colors.unflatten(-1, (-1, 3))
        grey = triples.mean(-1, keepdim=True)
        triples = grey + (triples - grey) * self._saturation[..., None]
        return triples.clamp(0.02, 0.98).square().flatten(-2)
