"""A tiny untrained model with a description, as `crosstask.load` would give it."""

from collections.abc import Sequence

import torch

from crosstask.engine import rebuilding
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth, Task
from fakes.scenes import scene_tasks


def camera_aware_tasks() -> tuple[Task, ...]:
    """The four tasks, with a depth that knows cameras."""
    aware = Depth(near=0.5, far=50.0, canonical_focal=100.0)
    return tuple(aware if task.name == "depth" else task for task in scene_tasks())


def tiny_model(
    architecture: str = "densemtl",
    tasks: Sequence[Task] | None = None,
    size: tuple[int, int] = (64, 128),
) -> SceneModel:
    """Weights from seed 0; trained at `size` by name only."""
    torch.manual_seed(0)
    tasks = camera_aware_tasks() if tasks is None else tasks
    made = create_model(architecture, tasks, encoder="test_resnet", pretrained=False, width=0.125)
    return SceneModel(made, tasks, rebuilding.describe(made, tasks, size=[*size])).eval()
