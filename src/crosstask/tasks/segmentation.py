"""Semantic segmentation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from crosstask import losses
from crosstask.losses import Terms
from crosstask.media.colormap import VOID_COLOR
from crosstask.media.label_range import BYTE_CLASSES, MOST_CLASSES, void_label
from crosstask.tasks.camera import Camera
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.constant import MostFrequentClass
from crosstask.tasks.presentation import PERCENT, Measure, PredictionFile
from crosstask.tasks.probability import self_information
from crosstask.tasks.target import Target
from crosstask.tasks.task import Task

if TYPE_CHECKING:
    from crosstask.metrics import SegmentationMetric


def index_or_void(value: Int[Tensor, "*s"]) -> str | None:
    """The `check` of class indices."""
    most = void_label(MOST_CLASSES)
    return None if bool(((value >= 0) & (value <= most)).all()) else f"0 to {most}"


def labels_target(target: Target, classes: int) -> Target:
    """The target of class indices with the void that so many classes leave free."""
    return (
        target if void_label(classes) == target.void else replace(target, void=void_label(classes))
    )


@dataclass(frozen=True, kw_only=True)
class Segmentation(Task):
    """Semantic segmentation (S): one class out of K per pixel, by a softmax.

    Target (H,W) int64, class index, void 255 (65535 of more than 254 classes). Output: K logits.
    Decoded: class index (B,H,W).

    Args:
        classes: their number, or a table of names and colours.
        objective: cross_entropy, focal, dice or cross_entropy_dice, see `crosstask.losses`.
        class_weights: weight of each class in the loss; empty: all alike.
    """

    classes: ClassTable = field(kw_only=False)
    name: str = "segmentation"
    objective: str = "cross_entropy"
    class_weights: tuple[float, ...] = ()

    target: ClassVar[Target] = Target(
        channels=0, void=255, unit="class index", dtype=torch.int64, check=index_or_void
    )
    headline: ClassVar[str] = "miou"
    higher_is_better: ClassVar[bool] = True
    default_weight: ClassVar[float] = 100.0
    paper_weight: ClassVar[float | None] = 100.0
    family_weight: ClassVar[float | None] = 1.0
    trusted: ClassVar[float] = 0.968  # DACS's and DAFormer's
    unit: ClassVar[str] = "class index, void 255"
    letter: ClassVar[str] = "S"
    table_place: ClassVar[int] = 0
    measures: ClassVar[Mapping[str, Measure]] = {
        "miou": Measure("mIoU", "%", 2),
        **dict.fromkeys(("pixel_accuracy", "mean_accuracy"), PERCENT),
    }
    main_metrics: ClassVar[tuple[str, ...]] = ("miou", "pixel_accuracy")
    loss_options: ClassVar[Mapping[str, str]] = {
        "segmentation_loss": "objective",
        "class_weights": "class_weights",
    }
    training_only: ClassVar[tuple[str, ...]] = ("objective", "class_weights")

    def __init__(
        self,
        classes: int | ClassTable,
        *,
        name: str = "segmentation",
        protocol: str = "correct",
        objective: str = "cross_entropy",
        class_weights: Sequence[float] = (),
    ) -> None:
        table = ClassTable.numbered(classes) if isinstance(classes, int) else classes
        values = {"classes": table, "name": name, "protocol": protocol, "objective": objective}
        for key, value in {**values, "class_weights": tuple(class_weights)}.items():
            object.__setattr__(self, key, value)
        if labels_target(self.target, len(table)) is not self.target:
            object.__setattr__(self, "target", labels_target(self.target, len(table)))
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in losses.SEGMENTATION:
            raise ValueError(
                f"`objective` is {self.objective!r}; expected {', '.join(losses.SEGMENTATION)}"
            )
        given = self.class_weights
        finite = all(0 <= weight < math.inf for weight in given) and (not given or max(given) > 0)
        if not finite or len(given) not in (0, self.channels):
            raise ValueError(
                f"`class_weights` is {given}; expected {self.channels} finite numbers from 0, one a "
                "class and not all 0, or none"
            )

    @property
    def channels(self) -> int:
        return len(self.classes)

    @property
    def class_table(self) -> ClassTable:
        return self.classes

    def paper_weight_among(self, tasks: Sequence[Task]) -> float | None:
        """50 beside depth alone."""
        others = [task for task in tasks if task is not self]
        alone = len(others) == 1 and others[0].is_depth
        return 50.0 if alone and self.paper_weight is not None else self.paper_weight

    def measured(self) -> dict[str, Any]:
        names = list(self.classes.names)
        return {**super().measured(), "classes": len(names), "names": names}

    def loss_terms(
        self,
        output: Float[Tensor, "b c h w"],
        target: Int[Tensor, "b ht wt"],
        camera: Camera = None,
    ) -> Terms:
        """The chosen loss with the classes' weights, void ignored.

        Raises:
            ValueError: a label outside the table (looked for on CPU only: no device sync).
        """
        if target.device.type == "cpu":
            check_labels(target, self.channels, int(self.void))
        loss = losses.SEGMENTATION[self.objective]
        weights = self._weights(target)
        return loss(self.resize(output, target), target.long(), int(self.void), weights)

    def normalizer(self, target: Int[Tensor, "b h w"]) -> Float[Tensor, ""]:
        """The labelled pixels, or the sum of their classes' weights."""
        return losses.labelled_weight(target.long(), int(self.void), self._weights(target))

    def _weights(self, target: Tensor) -> Tensor | None:
        given = self.class_weights
        return torch.tensor(given, device=target.device) if given else None

    def decode(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Int[Tensor, "b h w"]:
        return output.argmax(1)

    def decode_in_graph(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Mapping[str, Shaped[Tensor, "b h w"]]:
        """Class index in 8 bits, or in 16 where they do not hold all, and the probability of that class."""
        output = output.float()
        # of the softmax only its largest value, which is 1 over the sum
        probability = (output - output.amax(1, keepdim=True)).exp().sum(1).reciprocal()
        kind = torch.uint8 if output.shape[1] <= BYTE_CLASSES else torch.uint16
        return {"": self.decode(output, camera).to(kind), "_probability": probability}

    def metric(self) -> "SegmentationMetric":
        from crosstask.metrics import SegmentationMetric

        return SegmentationMetric(self.classes.names, int(self.void))

    def constant(self) -> MostFrequentClass:
        return MostFrequentClass(self.channels, int(self.void))

    def score(self, metrics: dict[str, float]) -> float:
        return metrics["miou"]

    def valid(self, target: Int[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
        return target != self.void

    def alignment_map(
        self, output: Float[Tensor, "b c h w"], **reference: Any
    ) -> Float[Tensor, "b c h w"]:
        """Weighted self-information of the class probabilities, K channels."""
        return self_information(output.float().softmax(1))

    def pseudo_label(
        self,
        output: Float[Tensor, "b c h w"],
        mirrored: Float[Tensor, "b c h w"],
        camera: Camera = None,
    ) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b 1 h w"]]:
        """Confidence: the largest of the mean class probabilities."""
        mean = (output.float().softmax(1) + mirrored.float().softmax(1)) / 2
        return self.decode((output + mirrored) / 2), mean.amax(1, keepdim=True)

    def describe(self, value: Shaped[Tensor, ""], kind: str) -> str:
        index, names = int(value), self.classes.names
        return names[index].replace("_", " ") if 0 <= index < len(names) else "no class"

    def files(self, value: Int[Tensor, "h w"], kind: str) -> list[PredictionFile]:
        """Class ids, 8 bits; 16 bits of more than 254 classes."""
        ids = value.detach().cpu().numpy()
        deep = self.channels > BYTE_CLASSES
        return [PredictionFile(".png", ids.astype(np.uint16 if deep else np.uint8))]

    def colorize(self, value: Shaped[Tensor, "h w"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        table = torch.tensor([*self.classes.colors, VOID_COLOR], dtype=torch.uint8)
        index = value.cpu().long()
        index = torch.where((index < 0) | (index >= self.channels), self.channels, index)
        return table[index].permute(2, 0, 1).contiguous()

    @classmethod
    def build(cls, spec: dict[str, Any]) -> Task:
        classes = spec.get("classes")
        if isinstance(classes, list):
            spec = spec | {"classes": ClassTable.from_spec(classes)}
        return super().build(spec)


def check_labels(target: Int[Tensor, "*b h w"], classes: int, void: int = 255) -> None:
    """Raises a ValueError that names the values if a label is neither a class nor void."""
    wrong = (target != void) & ((target < 0) | (target >= classes))
    if bool(wrong.any()):
        values = sorted(set(target[wrong].tolist()))[:5]
        raise ValueError(
            f"`target` holds the label {', '.join(map(str, values))}; expected 0 to {classes - 1}, "
            f"or {void} for void; map the dataset's own ids with its class table"
        )
