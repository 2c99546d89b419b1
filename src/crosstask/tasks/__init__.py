"""Dense prediction tasks: one file each, from void value to colours."""

from collections.abc import Sequence

from crosstask.tasks.classes import ClassTable
from crosstask.tasks.constant import ConstantPredictor
from crosstask.tasks.depth import Depth
from crosstask.tasks.edges import Edges
from crosstask.tasks.normals import Normals
from crosstask.tasks.segmentation import Segmentation
from crosstask.tasks.task import Task, from_spec

__all__ = [
    "ClassTable",
    "ConstantPredictor",
    "Depth",
    "Edges",
    "Normals",
    "Segmentation",
    "Task",
    "from_spec",
    "paper_weights",
]


def paper_weights(tasks: Sequence[Task]) -> dict[str, float]:
    """DenseMTL's task weights: 1 for one task, 50/1 for S-D, 100/1/100 S-D-N, and 50 for E.

    Found by grid search on the multi-task baseline and used for every method. A set of tasks that
    the paper does not have gets each task's `default_weight`.
    """
    if len(tasks) == 1:
        return {tasks[0].name: 1.0}
    weights = {task.name: task.default_weight for task in tasks}
    if sorted(type(task).__name__ for task in tasks) == ["Depth", "Segmentation"]:
        weights |= {task.name: 50.0 for task in tasks if isinstance(task, Segmentation)}
    return weights
