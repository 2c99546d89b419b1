"""What a street looks like, in numbers: two difficulties, two domains, and a dial between the domains."""

from dataclasses import dataclass, fields, replace
from typing import Any

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Style:
    """Dials of camera, layout, light, surface and sensor. Ranges are drawn uniformly for each scene.

    Attributes:
        focal: focal length in image widths. principal: offset of the principal point in widths.
        yaw, pitch, roll: degrees; a positive pitch looks down. camera_height: metres.
        bend: curvature of the street, 1/metres. near: metres to the first vehicles and walkers.
        spread: metres over which they are strewn. thickness: of poles and limbs, relative.
        crowd: probability of each place for a vehicle, walker, tree to be taken, relative.
        sun_elevation: degrees. sun: strength of direct light. ambient: of the sky's light.
        warmth: colour of light, relative red minus blue. haze: 1/metres. exposure: factor.
        contrast: of textures. camouflage: share of objects whose colour is drawn from one palette for all.
        saturation: of all colours. noise: standard deviation of the sensor. palette: 0 source's, 1 target's.
    """

    focal: Range = (0.83, 0.97)
    principal: Range = (-0.03, 0.03)
    yaw: Range = (-5.0, 5.0)
    pitch: Range = (0.0, 4.0)
    roll: Range = (-0.7, 0.7)
    camera_height: Range = (1.45, 1.85)
    bend: Range = (-0.003, 0.003)
    near: Range = (6.0, 9.0)
    spread: Range = (30.0, 42.0)
    thickness: Range = (1.0, 1.4)
    crowd: float = 1.0
    sun_elevation: Range = (30.0, 60.0)
    sun: Range = (0.9, 1.6)
    ambient: Range = (0.42, 0.56)
    warmth: Range = (-0.03, 0.08)
    haze: Range = (0.001, 0.004)
    exposure: Range = (0.92, 1.08)
    contrast: Range = (0.8, 1.1)
    camouflage: float = 0.0
    saturation: Range = (0.9, 1.1)
    noise: Range = (0.004, 0.01)
    palette: float = 0.0

    def toward(self, other: "Style", gap: float) -> "Style":
        """The style ``gap`` of the way to the other one (0: this one, 1: the other, beyond: extrapolated)."""

        def blend(own: Any, its: Any) -> Any:
            if isinstance(own, tuple):
                return tuple(blend(a, b) for a, b in zip(own, its, strict=True))
            return own + gap * (its - own)

        return Style(
            **{
                # The fields of this dataclass.
                item.name: blend(getattr(self, item.name), getattr(other, item.name))
                for item in fields(self)
            }
        )


EASY = Style()
HARD = Style(
    focal=(0.62, 1.25),
    principal=(-0.06, 0.06),
    yaw=(-14.0, 14.0),
    pitch=(-4.0, 8.0),
    roll=(-3.0, 3.0),
    camera_height=(1.15, 2.6),
    bend=(-0.006, 0.006),
    near=(6.0, 16.0),
    spread=(40.0, 60.0),
    thickness=(0.6, 1.0),
    crowd=1.25,
    sun_elevation=(12.0, 70.0),
    sun=(0.05, 1.3),
    ambient=(0.2, 0.6),
    warmth=(-0.15, 0.25),
    haze=(0.001, 0.012),
    exposure=(0.7, 1.25),
    contrast=(0.9, 2.2),
    camouflage=0.6,
    saturation=(0.3, 1.2),
    noise=(0.008, 0.035),
)


def style_of(difficulty: str = "easy", domain: str = "source", gap: float = 1.0) -> Style:
    """The style of a difficulty in a domain; ``gap`` says how far the target lies from the source."""
    styles = {"easy": EASY, "hard": HARD}
    if difficulty not in styles:
        raise ValueError(
            f"`difficulty` is {difficulty!r}; expected 'easy' or 'hard'; choose one of them"
        )
    if domain not in ("source", "target"):
        raise ValueError(
            f"`domain` is {domain!r}; expected 'source' or 'target'; choose one of them"
        )
    if not 0.0 <= gap <= 1.5:
        raise ValueError(
            f"`gap` is {gap}; expected 0 <= gap <= 1.5; 0 makes both domains alike, 1 is the default"
        )
    source = styles[difficulty]
    if domain == "source":
        return source
    target = replace(
        source,
        focal=(source.focal[0] * 0.72, source.focal[1] * 0.72),
        camera_height=(source.camera_height[0] + 0.7, source.camera_height[1] + 0.8),
        pitch=(source.pitch[0] + 2.0, source.pitch[1] + 3.0),
        sun=(0.0, 0.35),
        ambient=(0.5, 0.75),
        warmth=(-0.14, 0.0),
        haze=(0.006, 0.018),
        contrast=(source.contrast[0] * 1.5, source.contrast[1] * 1.7),
        saturation=(0.55, 0.8),
        noise=(0.02, 0.035),
        palette=1.0,
    )
    return source.toward(target, gap)
