"""Experiments as functions: a recipe is a typed function that returns an `Experiment`.

Read `catalogue.py` (names), a dataset's file (what a recipe chooses), `settings.py` (every option),
then `supervised.py`, `self_supervised.py` or `adaptation.py` (from settings to the experiment) and
`building.py` (what these share).
"""

from crosstask.recipes.recipe import recipe, recipe_without, variant
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    ReaderSettings,
    SelfSupervisionSettings,
    StreetSettings,
    SupervisionSettings,
    TrainingSettings,
    filled,
)

__all__ = [
    "AdaptationSettings",
    "NetworkSettings",
    "ReaderSettings",
    "SelfSupervisionSettings",
    "StreetSettings",
    "SupervisionSettings",
    "TrainingSettings",
    "filled",
    "recipe",
    "recipe_without",
    "variant",
]
