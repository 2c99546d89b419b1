"""`--class-weights`: how much each class counts in the loss of segmentation, set when training begins.

A run keeps its numbers in model.json, and one that goes on takes them from there.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from crosstask.data.loading import evaluation_loader
from crosstask.data.samples import as_samples
from crosstask.engine.experiment import Experiment
from crosstask.media.reading import read_text
from crosstask.suggest import nearest
from crosstask.tasks import ClassTable, Task


def set_class_weights(
    experiment: Experiment, data: Dataset[Any], recorded: Mapping[str, Any] | None, workers: int = 0
) -> None:
    """Gives the tasks of an experiment their class weights.

    Args:
        data: the training set.
        recorded: model.json of a run that goes on, else None.

    Raises:
        ValueError: a file that is not there, or does not name every class once.
    """
    rule = experiment.class_weights
    tasks = [task for task in experiment.tasks if "class_weights" in task.loss_options]
    if rule == "none" or not tasks:
        return
    if recorded is not None:
        specs = {spec.get("name"): spec.get("class_weights") or () for spec in recorded["tasks"]}
        weights = {task.name: list(specs.get(task.name, ())) for task in tasks}
    elif rule == "balanced":
        weights = balanced(data, tasks, workers)
    else:
        weights = {task.name: from_file(Path(rule), task) for task in tasks}
    experiment.regime.weigh_classes(weights)
    for task in tasks:
        names = cast(ClassTable, task.class_table).names
        pairs = zip(names, weights[task.name], strict=True)
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in pairs)
        print(f"class weights of {task.name} ({rule}): {shown}", file=sys.stderr)


def balanced(data: Dataset[Any], tasks: Sequence[Task], workers: int = 0) -> dict[str, list[float]]:
    """Median frequency balancing (Eigen and Fergus, ICCV 2015) over all training labels.

    The frequency of a class is its share of the labelled pixels of the images that show it; its weight
    is the median frequency divided by its own. A class that no image shows weighs 1.
    """
    for labelled in as_samples(data).domains[:1]:
        data = labelled  # of two domains: each image once, and none without labels
    pixels = {task.name: torch.zeros(task.channels) for task in tasks}
    around = {task.name: torch.zeros(task.channels) for task in tasks}
    for batch in evaluation_loader(data, batch_size=1, workers=workers):
        for task in tasks:
            target = batch[task.name][task.valid(batch[task.name])].long()
            counts = torch.bincount(target, minlength=task.channels)[: task.channels].float()
            pixels[task.name] += counts
            around[task.name] += torch.where(counts > 0, counts.sum(), 0.0)
    return {name: _median_frequency(pixels[name], around[name]) for name in pixels}


def _median_frequency(pixels: Tensor, around: Tensor) -> list[float]:
    seen = pixels > 0
    if not bool(seen.any()):
        raise ValueError(
            "`class_weights` is balanced, but no training image has a label of segmentation; leave it out"
        )
    frequency = pixels[seen] / around[seen]
    weights = torch.ones_like(pixels)
    weights[seen] = frequency.quantile(0.5) / frequency
    return [round(weight, 6) for weight in weights.tolist()]


def from_file(path: Path, task: Task) -> list[float]:
    """The weights in a file: lines `NAME WEIGHT`, or JSON, {"NAME": WEIGHT}.

    Raises:
        ValueError: no such file, a class that is unknown, missing or named twice, or no number.
    """
    names = cast(ClassTable, task.class_table).names
    if not path.is_file():
        raise ValueError(
            f"`class_weights` is {str(path)!r}; expected none, balanced, auto or a file with a line `NAME "
            "WEIGHT` for each class"
        )
    weights: dict[str, float] = {}
    for name, value in _pairs(path):
        if name not in names:
            raise ValueError(f"{path}: {nearest(name, list(names), 'class of ' + task.name)}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if name in weights or not 0 <= number < math.inf:
            raise ValueError(
                f"{path}: class {name!r} has {value!r}; expected one finite number from 0 for each class"
            )
        weights[name] = number
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"{path} has no weight of {', '.join(missing)}; add a line for each")
    return [weights[name] for name in names]


def _pairs(path: Path) -> list[tuple[str, Any]]:
    text = read_text(path)
    if path.suffix.lower() == ".json":
        try:
            found = json.loads(text, object_pairs_hook=list)
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        if not isinstance(found, list) or not all(isinstance(pair, tuple) for pair in found):
            raise ValueError(f"{path}: expected {{name: weight}} of the classes")
        return found
    lines = [line.strip() for line in text.splitlines()]
    parts = [line.rsplit(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(part[0], part[1] if len(part) > 1 else None) for part in parts]
