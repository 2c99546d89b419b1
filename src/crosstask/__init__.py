"""crosstask: dense multi-task scene understanding with cross-task attention.

    model = crosstask.create_model("densemtl", {"segmentation": 19, "depth": 1})
    outputs = model(image)            # {task: [coarse, ..., fine]}, plain PyTorch
    metrics = crosstask.train("procedural.supervised", run="runs/demo", steps=200)
    scene = crosstask.load("runs/demo").predict("street.jpg")

Names are imported when they are first used, so that `import crosstask` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosstask.models import create_model, list_models
    from crosstask.plugins.find import register
    from crosstask.predict.model import SceneModel, load
    from crosstask.recipes.running import evaluate, train
    from crosstask.tasks import Depth, Edges, Normals, Segmentation, Task

_PLACES = {
    "create_model": "crosstask.models",
    "list_models": "crosstask.models",
    "load_released_densemtl": "crosstask.engine.released",
    "load": "crosstask.predict.model",
    "train": "crosstask.recipes.running",
    "evaluate": "crosstask.recipes.running",
    "register": "crosstask.plugins.find",
    "SceneModel": "crosstask.predict.model",
    "Task": "crosstask.tasks",
    "Segmentation": "crosstask.tasks",
    "Depth": "crosstask.tasks",
    "Normals": "crosstask.tasks",
    "Edges": "crosstask.tasks",
    "ClassTable": "crosstask.tasks",
}

__all__ = [
    "Depth",
    "Edges",
    "Normals",
    "SceneModel",
    "Segmentation",
    "Task",
    "create_model",
    "evaluate",
    "list_models",
    "load",
    "register",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'crosstask' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)  # of the table above


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
