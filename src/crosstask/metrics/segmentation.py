"""mIoU, IoU per class and pixel accuracy from one confusion matrix."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from crosstask.metrics.metric import TaskMetric, ratio

MOST_CONFUSED = 2048  # classes of a confusion matrix: 34 MB; beyond, pixels by class are counted


class SegmentationMetric(TaskMetric):
    """Dataset-level segmentation scores, as fractions.

    `miou`: mean over classes of TP / (TP + FP + FN) of the whole dataset; classes that occur
    neither in the labels nor in the predictions are skipped. `iou/<class>`: NaN for those.
    `pixel_accuracy`: share of labelled pixels that are right. `mean_accuracy`: mean recall of the
    labelled classes.

    Args:
        names: of the classes, in order.
        void: label that does not count.
    """

    confusion: Tensor
    hits: Tensor
    labelled: Tensor
    predicted: Tensor

    def __init__(self, names: Sequence[str], void: int = 255) -> None:
        super().__init__()
        self.names, self.void = tuple(names), void
        number = len(self.names)
        if number <= MOST_CONFUSED:
            self.add_counts(confusion=(number, number))
        else:
            self.add_counts(hits=(number,), labelled=(number,), predicted=(number,))

    def update(self, prediction: Int[Tensor, "b h w"], target: Int[Tensor, "b h w"]) -> None:
        """Class indices.

        Raises:
            ValueError: a label or prediction that is not a class (and no void label), by value.
        """
        number = len(self.names)
        known = target != self.void
        truth, guess = target[known].long(), prediction[known].long()
        for name, values in (("target", truth), ("prediction", guess)):
            wrong = (values < 0) | (values >= number)
            if bool(wrong.any()):
                raise ValueError(
                    f"`{name}` holds the class {int(values[wrong][0])}; expected 0 to "
                    f"{number - 1}; map the dataset's own ids with its class table"
                )
        if number > MOST_CONFUSED:
            self.hits += torch.bincount(truth[truth == guess], minlength=number)
            self.labelled += torch.bincount(truth, minlength=number)
            self.predicted += torch.bincount(guess, minlength=number)
            return
        pairs = torch.bincount(truth * number + guess, minlength=number * number)
        self.confusion += pairs.view(number, number)

    def counts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels of each class: right, labelled, predicted."""
        if len(self.names) > MOST_CONFUSED:
            return self.hits, self.labelled, self.predicted
        return self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)

    def iou(self) -> Float[Tensor, " k"]:
        """Intersection over union of each class; NaN where it never occurs."""
        hits, labelled, predicted = self.counts()
        return ratio(hits, labelled + predicted - hits)

    def compute(self) -> dict[str, Tensor]:
        hits, labelled, _ = self.counts()
        iou = self.iou()
        values = {
            "miou": iou.nanmean(),
            "pixel_accuracy": ratio(hits.sum(), labelled.sum()),
            "mean_accuracy": ratio(hits, labelled).nanmean(),
        }
        return values | {f"iou/{name}": iou[k] for k, name in enumerate(self.names)}

    def details(self) -> dict[str, Any]:
        """`confusion`: rows are the truth, columns the prediction, in pixels; none of many classes."""
        if len(self.names) > MOST_CONFUSED:
            return {
                "classes": list(self.names),
                "note": f"no confusion matrix of more than {MOST_CONFUSED} classes: merge classes to see one",
            }
        return {"classes": list(self.names), "confusion": self.confusion.tolist()}
