"""Salient objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from crosstask import losses
from crosstask.losses import Terms
from crosstask.media.colormap import VOID_COLOR
from crosstask.tasks.camera import Camera
from crosstask.tasks.presentation import PERCENT, Measure
from crosstask.tasks.probability import ProbabilityMap
from crosstask.tasks.target import Target, zero_or_one

if TYPE_CHECKING:
    from crosstask.metrics import SaliencyMetric


@dataclass(frozen=True, kw_only=True)
class Saliency(ProbabilityMap):
    """Saliency of PASCAL-Context: the pixels of what catches the eye, by balanced cross-entropy.

    Target (1,H,W), 0 or 1, void 255. Output: one or two logits. Decoded: probability (B,1,H,W).

    Args:
        logits: 1 (sigmoid: MTI-Net, SCA-MTL) or 2 (softmax: ATRC, InvPT).
        positive_weight: weight of a salient pixel, the others weigh one minus it. None takes the
            batch's share of pixels that are not salient (ASTMT, MTI-Net, SCA-MTL); the loss of a
            batch is then not the sum of its images' losses.
    """

    name: str = "saliency"
    logits: int = 1
    positive_weight: float | None = None

    target: ClassVar[Target] = Target(channels=1, void=255, unit="0 or 1", check=zero_or_one)
    headline: ClassVar[str] = "max_iou"
    default_weight: ClassVar[float] = 5.0
    letter: ClassVar[str] = "Sal"
    table_place: ClassVar[int] = 5
    measures: ClassVar[Mapping[str, Measure]] = {
        "max_iou": Measure("maxIoU", "%", 2),
        **dict.fromkeys(("max_f", "max_f_image"), PERCENT),
    }
    main_metrics: ClassVar[tuple[str, ...]] = ("max_iou", "max_f")
    legend_note: ClassVar[str] = "white: salient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positive_weight is not None and not 0 < self.positive_weight < 1:
            raise ValueError(
                f"`positive_weight` is {self.positive_weight}; expected a number between 0 and 1, "
                "or None"
            )

    def loss_terms(
        self,
        output: Float[Tensor, "b c h w"],
        target: Float[Tensor, "b 1 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        return losses.balanced_cross_entropy(
            self.resize(output, target), target, self.valid(target), self.positive_weight
        )

    def metric(self) -> "SaliencyMetric":
        from crosstask.metrics import SaliencyMetric

        return SaliencyMetric()

    def colorize(self, value: Float[Tensor, "*one h w"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        """White where salient, black elsewhere."""
        salient = value.detach().reshape(1, *value.shape[-2:]).float().cpu()
        grey = (salient.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
        void = torch.tensor(VOID_COLOR, dtype=torch.uint8).view(3, 1, 1)
        return torch.where(salient != self.void, grey, void)
