"""The camera that a network is trained with, read off its training samples."""

from collections.abc import Sequence
from typing import Any, cast

import torch

from crosstask.data.spacing import evenly
from crosstask.tasks import Task, TrainingCamera
from crosstask.tasks.camera import focal_lengths, known


def training_camera(tasks: Sequence[Task], dataset: Any, samples: int = 8) -> TrainingCamera | None:
    """Focal lengths of up to `samples` evenly spaced training samples, as the network sees them.

    Where some samples have labels of the tasks that are tied to the camera, only those count. The
    caller's random state is kept.

    Returns:
        None where lengths do not depend on the camera of training, or no sample names its camera.
    """
    tied = [task for task in tasks if task.holds_for_one_camera]
    if not tied:
        return None
    labelled: list[float] = []
    others: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for index in evenly(len(cast(Any, dataset)), samples):
            sample = dataset[index]
            camera = sample.get("intrinsics")
            if not known(camera):
                continue
            targets = [(task, sample[task.name]) for task in tied if task.name in sample]
            has_labels = any(bool(task.valid(target[None]).any()) for task, target in targets)
            (labelled if has_labels else others).append(float(focal_lengths(camera)))
    found = labelled or others
    return TrainingCamera(min(found), max(found)) if found else None
