"""Procedural streets: scenes drawn from seeds, and the ray caster that renders them."""

from crosstask.data.streets.classes import STREET_CLASSES, Street
from crosstask.data.streets.renderer import VERSION, Renderer, render
from crosstask.data.streets.style import Style, style_of

__all__ = ["STREET_CLASSES", "VERSION", "Renderer", "Street", "Style", "render", "style_of"]
