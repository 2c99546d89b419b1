"""The ground of a street: road, sidewalks and strips of grass, a crossing, and where things stand along it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.data.streets.dice import Dice
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.style import Style


@dataclass(frozen=True)
class Road:
    """Widths in metres, per scene (b) or per side (b, 2: left, right). The middle line is x = bend/2 z^2.

    From the middle outwards: road, verge, sidewalk, garden, buildings.
    """

    bend: Float[Tensor, "b"]
    half_width: Float[Tensor, "b"]
    verge: Float[Tensor, "b 2"]
    sidewalk: Float[Tensor, "b 2"]
    garden: Float[Tensor, "b 2"]
    crossing: Float[Tensor, "b 2"]
    """middle and half width of the crossing street along z; a half width of 0 is no crossing."""
    paved: Bool[Tensor, "b 2"]
    """whether the ground beyond the sidewalk is paved like it."""
    dash: Float[Tensor, "b 3"]
    """middle line: period and duty of the dashes, width."""
    edge: Float[Tensor, "b"]
    """width of the edge lines; 0 is none."""
    zebra: Float[Tensor, "b 2"]
    """start and length along z of a pedestrian crossing; length 0 is none."""
    colors: Float[Tensor, "b 5 3"]
    """linear RGB of asphalt, paint, sidewalk, kerb, grass."""
    shift: Float[Tensor, "b 2"]
    """offset of the ground's texture, metres."""
    mingle: Float[Tensor, "b"]
    """how far all textures of the ground are drawn to a common one."""

    def place(
        self, lateral: Float[Tensor, "b n"], ahead: Float[Tensor, "b n"]
    ) -> tuple[Tensor, Tensor]:
        """World position (b, n, 3) on the ground and the street's yaw (b, n) there."""
        bend = self.bend[:, None]
        position = torch.stack(
            (lateral + 0.5 * bend * ahead**2, torch.zeros_like(ahead), ahead), dim=-1
        )
        return position, torch.atan(bend * ahead)

    def clear(self, ahead: Float[Tensor, "b n"], margin: float | Tensor) -> Bool[Tensor, "b n"]:
        """Whether places beside the road at ``ahead`` keep ``margin`` metres from the crossing street."""
        middle, half = self.crossing[:, :1], self.crossing[:, 1:]
        return ((ahead - middle).abs() > half + margin) | (half == 0)


def draw_road(dice: Dice, paints: Paints, style: Style) -> Road:
    """Draw the ground of every scene."""
    bend = dice.uniform(1, *style.bend)[:, 0]
    half_width = dice.uniform(1, 4.2, 6.2)[:, 0]
    verge = dice.uniform(2, 0.8, 2.4) * dice.chance(2, 0.45)
    sidewalk = dice.uniform(2, 1.8, 3.4)
    garden = dice.uniform(2, 1.5, 6.0) * dice.chance(2, 0.7)
    crosses = dice.chance(1, 0.45)
    crossing = torch.cat((dice.uniform(1, 18.0, 48.0), dice.uniform(1, 3.5, 5.5) * crosses), dim=1)
    zebra_start = torch.where(
        crosses, crossing[:, :1] - crossing[:, 1:] - 4.5, dice.uniform(1, 8.0, 30.0)
    )
    zebra = torch.cat((zebra_start, 3.2 * dice.chance(1, 0.5)), dim=1)
    dash = torch.cat(
        (
            dice.uniform(1, 5.0, 9.0),
            dice.uniform(1, 0.4, 0.7) + dice.chance(1, 0.25),
            dice.uniform(1, 0.16, 0.26),
        ),
        dim=1,
    )
    edge = (dice.uniform(1, 0.14, 0.22) * dice.chance(1, 0.6))[:, 0]
    asphalt, paint = paints("asphalt", 1, 0.03), paints("paint", 1, 0.04, camouflage=False)
    paving, grass = paints("paving", 1, 0.04), paints("grass", 1, 0.05)
    kerb = paving * 0.85 + 0.15
    colors = paints.develop(torch.cat((asphalt, paint, paving, kerb, grass), dim=1))
    return Road(
        bend,
        half_width,
        verge,
        sidewalk,
        garden,
        crossing,
        dice.chance(2, 0.35),
        dash,
        edge,
        zebra,
        colors,
        dice.uniform(2, 0.0, 100.0),
        paints.mingle,
    )
