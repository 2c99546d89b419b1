"""Dense prediction tasks: one file each, from void value to colours."""

from collections.abc import Sequence

from crosstask.tasks.classes import ClassTable
from crosstask.tasks.constant import ConstantPredictor
from crosstask.tasks.depth import Depth
from crosstask.tasks.edges import Edges
from crosstask.tasks.human_parts import HUMAN_PARTS, HumanParts
from crosstask.tasks.normals import Normals
from crosstask.tasks.saliency import Saliency
from crosstask.tasks.segmentation import Segmentation
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth
from crosstask.tasks.task import Task, from_spec

__all__ = [
    "HUMAN_PARTS",
    "ClassTable",
    "ConstantPredictor",
    "Depth",
    "Edges",
    "HumanParts",
    "Normals",
    "Saliency",
    "Segmentation",
    "SelfSupervisedDepth",
    "Task",
    "family_weights",
    "from_spec",
    "paper_weights",
]


def paper_weights(tasks: Sequence[Task]) -> dict[str, float]:
    """DenseMTL's task weights: 1 for one task, 50/1 for S-D, 100/1/100 S-D-N, and 50 for E.

    Found by grid search on the multi-task baseline and used for every method. Another set of these
    four kinds gets 100/1/100/50; a set with other kinds gets `family_weights`.
    """
    if len(tasks) == 1:
        return {tasks[0].name: 1.0}
    kinds = [type(task).__name__ for task in tasks]
    if any(kind not in ("Segmentation", "Depth", "Normals", "Edges") for kind in kinds):
        return family_weights(tasks)
    weights = {task.name: task.default_weight for task in tasks}
    if sorted(kinds) == ["Depth", "Segmentation"]:
        weights |= {task.name: 50.0 for task in tasks if isinstance(task, Segmentation)}
    return weights


def family_weights(tasks: Sequence[Task]) -> dict[str, float]:
    """Task weights of MTI-Net, ATRC and InvPT: S 1, D 1, N 10, E 50, human parts 2, saliency 5.

    Other kinds get their `default_weight`.
    """
    known = {"Segmentation": 1.0, "Depth": 1.0, "Normals": 10.0, "Edges": 50.0}
    return {task.name: known.get(type(task).__name__, task.default_weight) for task in tasks}
