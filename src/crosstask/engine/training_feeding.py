"""How images were brought to a network's input, read off its data, for the record in model.json."""

from dataclasses import replace
from typing import Any

from crosstask.data.feeding import Feeding, common
from crosstask.data.spacing import evenly


def training_feeding(train_set: Any, val_set: Any, images: int = 500) -> Feeding | None:
    """The feeding of the validation set, with the aspects of its and the training set's images.

    Args:
        train_set, val_set: `Samples`.
        images: of each set at most so many headers are read, evenly spaced.

    Returns:
        None where the images went through a transform that says nothing of it.
    """
    found: Feeding | None = val_set.feeding()
    if found is None:
        return None
    sizes = [
        data.stored_size(index)
        for data in (train_set, val_set)
        for index in evenly(len(data), images)
    ]
    return replace(found, aspects=common([w / h for h, w in (s for s in sizes if s is not None)]))
