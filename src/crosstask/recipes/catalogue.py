"""The list of recipes, and how a name or a user's file becomes a function.

This module imports nothing heavy: `crosstask --help` and `crosstask recipes` read it.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crosstask.suggest import nearest

RECIPES: dict[str, str] = {
    "procedural.supervised": "procedural streets, all labels; minutes on a laptop (`make demo`)",
    "procedural.partial": "procedural streets, one random label an image",
    "camvid.supervised": "CamVid street photographs: segmentation and semantic edges",
    "cityscapes.supervised": "Cityscapes, the paper's settings (Table 1)",
    "nyudv2.supervised": "NYUDv2, the paper's settings (Table 2)",
    "synthia.supervised": "SYNTHIA-RAND-CITYSCAPES, the paper's settings (Table 1)",
    "vkitti2.supervised": "Virtual KITTI 2, the paper's settings (Tables 1, 3, 4)",
    "pascal_context.supervised": "PASCAL-Context: five tasks (SCA-MTL and its family)",
    "folder.supervised": "your own images, with whatever labels you have",
    "real3.supervised": "CamVid, 7-Scenes and BSDS500 together: four tasks, no image with all labels",
    "procedural.self_supervised": "procedural streets as video: depth and motion without labels",
    "cityscapes.self_supervised": "Cityscapes: segmentation helped by depth from video (Table 5)",
    "frames.self_supervised": "your own frames or video file: depth without labels",
    "procedural.adaptation": "labelled source streets to unlabelled target streets: the whole ladder",
    "procedural_to_camvid.adaptation": "procedural streets to unlabelled CamVid photographs",
    "synthia_to_cityscapes.adaptation": "SYNTHIA to unlabelled Cityscapes, 16 classes (Table 6)",
    "vkitti2_to_cityscapes.adaptation": "Virtual KITTI 2 to unlabelled Cityscapes, 8 classes (Table 6)",
}


def find_recipe(name: str) -> Callable[..., Any]:
    """`dataset.regime` of this package, or `path/to/file.py:function` of the user's own.

    Raises:
        ValueError: unknown name (nearest ones are named), missing file or function.
    """
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1))
    if name not in RECIPES:
        raise ValueError(
            nearest(name, list(RECIPES), "recipe") + ". Your own: path/to/file.py:function"
        )
    module, function = name.split(".")
    return getattr(importlib.import_module(f"crosstask.recipes.{module}"), function)


def _from_file(path: str, function: str) -> Callable[..., Any]:
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"there is no file {path}; a recipe of your own is path/to/file.py:function"
        )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if found is None or not callable(found):
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v)]
        raise ValueError(nearest(function, functions, f"function of {path}"))
    return found
