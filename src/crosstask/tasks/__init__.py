"""Dense prediction tasks: one file each, from void value to colours."""

from collections.abc import Sequence

from crosstask.tasks.camera import TrainingCamera
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.constant import ConstantPredictor
from crosstask.tasks.depth import Depth
from crosstask.tasks.edges import Edges
from crosstask.tasks.human_parts import HUMAN_PARTS, HumanParts
from crosstask.tasks.normals import Normals
from crosstask.tasks.presentation import Measure, PredictionFile
from crosstask.tasks.saliency import Saliency
from crosstask.tasks.segmentation import Segmentation
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth
from crosstask.tasks.spec import from_spec, short_name
from crosstask.tasks.target import Target, declare, declared
from crosstask.tasks.task import Task

__all__ = [
    "HUMAN_PARTS",
    "ClassTable",
    "ConstantPredictor",
    "Depth",
    "Edges",
    "HumanParts",
    "Measure",
    "Normals",
    "PredictionFile",
    "Saliency",
    "Segmentation",
    "SelfSupervisedDepth",
    "Target",
    "Task",
    "TrainingCamera",
    "declare",
    "declared",
    "family_weights",
    "from_spec",
    "paper_weights",
    "short_name",
]


def paper_weights(tasks: Sequence[Task]) -> dict[str, float]:
    """DenseMTL's task weights: 1 for one task, 50/1 for S-D, 100/1/100 S-D-N, and 50 for E.

    Found by grid search on the multi-task baseline and used for every method. Another set of these
    four kinds gets 100/1/100/50; a set with other kinds gets `family_weights`.
    """
    if len(tasks) == 1:
        return {tasks[0].name: 1.0}
    weights = {task.name: task.paper_weight_among(tasks) for task in tasks}
    known = {name: weight for name, weight in weights.items() if weight is not None}
    return known if len(known) == len(weights) else family_weights(tasks)


def family_weights(tasks: Sequence[Task]) -> dict[str, float]:
    """Task weights of MTI-Net, ATRC and InvPT: S 1, D 1, N 10, E 50, human parts 2, saliency 5.

    Other kinds get their `default_weight`.
    """
    return {
        task.name: task.default_weight if task.family_weight is None else task.family_weight
        for task in tasks
    }
