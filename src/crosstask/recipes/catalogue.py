"""The list of recipes, and how a name or a user's file becomes a function.

This module imports nothing heavy: `crosstask --help` and `crosstask recipes` read it.
"""

import importlib
from collections.abc import Callable
from typing import Any, cast

from crosstask.plugins.find import find
from crosstask.recipes.recipe import recipe

RECIPES: dict[str, str] = {
    "procedural.supervised": "procedural streets, all labels; minutes on a laptop (`make demo`)",
    "procedural.partial": "procedural streets, one random label an image",
    "procedural.randomized": "procedural streets for use on photographs (trains the model in the box)",
    "camvid.supervised": "CamVid street photographs: segmentation and semantic edges",
    "bsds500.supervised": "BSDS500: edges of photographs",
    "cityscapes.supervised": "Cityscapes, the paper's settings (Table 1)",
    "nyudv2.supervised": "NYUDv2, the paper's settings (Table 2)",
    "synthia.supervised": "SYNTHIA-RAND-CITYSCAPES, the paper's settings (Table 1)",
    "vkitti2.supervised": "Virtual KITTI 2, the paper's settings (Tables 1, 3, 4)",
    "pascal_context.supervised": "PASCAL-Context: five tasks (SCA-MTL and its family)",
    "folder.supervised": "your own images, with whatever labels you have",
    "hub.supervised": "a data set of the Hugging Face library `datasets`, saved or of the hub",
    "real3.supervised": "CamVid, 7-Scenes and BSDS500 together: four tasks, no image with all labels",
    "procedural.self_supervised": "procedural streets as video: depth and motion without labels",
    "cityscapes.self_supervised": "Cityscapes: segmentation helped by depth from video (Table 5)",
    "frames.self_supervised": "your own frames or video file: depth without labels",
    "procedural.adaptation": "labelled source streets to unlabelled target streets: the whole ladder",
    "procedural_to_camvid.adaptation": "procedural streets to unlabelled CamVid photographs",
    "synthia_to_cityscapes.adaptation": "SYNTHIA to unlabelled Cityscapes, 16 classes (Table 6)",
    "vkitti2_to_cityscapes.adaptation": "Virtual KITTI 2 to unlabelled Cityscapes, 8 classes (Table 6)",
}


def find_recipe(given: str | Callable[..., Any]) -> Callable[..., Any]:
    """The recipe behind `dataset.regime`, `FILE.py:NAME`, a registered name, or the function.

    It takes its options flat, as config.yaml holds them.

    Raises:
        ValueError: unknown name (nearest ones are named), or a file that cannot be used.
    """
    known = cast(dict[str, Callable[..., Any]], dict(RECIPES))
    found = find("recipe", given, known, _is_recipe, "a function that returns an Experiment")
    if not isinstance(found, str):
        return recipe(found)
    module, function = cast(str, given).split(".")
    # `RECIPES` names modules and functions, so that nothing is imported to list them.
    return getattr(importlib.import_module(f"crosstask.recipes.{module}"), function)


def _is_recipe(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, type)
