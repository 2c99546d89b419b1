"""Parts of people."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from crosstask.tasks.classes import ClassTable
from crosstask.tasks.presentation import Measure
from crosstask.tasks.segmentation import Segmentation
from crosstask.tasks.target import Target

HUMAN_PARTS = ClassTable(
    ("background", "head", "torso", "upper_arm", "lower_arm", "upper_leg", "lower_leg"),
    (
        (28, 30, 38),
        (239, 71, 111),
        (255, 166, 48),
        (255, 224, 102),
        (120, 200, 120),
        (17, 138, 178),
        (120, 90, 200),
    ),
)


@dataclass(frozen=True, kw_only=True)
class HumanParts(Segmentation):
    """Human part segmentation of PASCAL-Context: background and six parts.

    A segmentation under another name. An image without annotated people is all void, so that it
    counts neither in the loss nor in the mIoU, which includes the background.

    Args:
        classes: another table of parts, e.g. a finer one.
    """

    name: str = "human_parts"

    target: ClassVar[Target] = replace(Segmentation.target, unit="part index, 0 is background")
    default_weight: ClassVar[float] = 2.0
    paper_weight: ClassVar[float | None] = None
    family_weight: ClassVar[float | None] = None
    letter: ClassVar[str] = "P"
    table_place: ClassVar[int] = 4
    measures: ClassVar[Mapping[str, Measure]] = {
        **Segmentation.measures,
        "miou": Measure("parts mIoU", "%", 2),
    }

    def __init__(
        self,
        classes: int | ClassTable = HUMAN_PARTS,
        *,
        name: str = "human_parts",
        protocol: str = "correct",
        **options: Any,
    ) -> None:
        super().__init__(classes, name=name, protocol=protocol, **options)
