"""Salient objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from crosstask import losses
from crosstask.losses import Terms
from crosstask.media.colormap import VOID_COLOR
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.presentation import PERCENT, Measure, PredictionFile, probability_file
from crosstask.tasks.target import Target, zero_or_one
from crosstask.tasks.task import Camera, Task, self_information

if TYPE_CHECKING:
    from crosstask.metrics import SaliencyMetric


@dataclass(frozen=True, kw_only=True)
class Saliency(Task):
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
    higher_is_better: ClassVar[bool] = True
    default_weight: ClassVar[float] = 5.0
    unit: ClassVar[str] = "probability"
    letter: ClassVar[str] = "Sal"
    table_place: ClassVar[int] = 5
    measures: ClassVar[Mapping[str, Measure]] = {
        "max_iou": Measure("maxIoU", "%", 2),
        **dict.fromkeys(("max_f", "max_f_image"), PERCENT),
    }
    main_metrics: ClassVar[tuple[str, ...]] = ("max_iou", "max_f")
    legend_note: ClassVar[str] = "white: salient"
    smooth: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.logits not in (1, 2):
            raise ValueError(f"`logits` is {self.logits}; expected 1 or 2")
        if self.positive_weight is not None and not 0 < self.positive_weight < 1:
            raise ValueError(
                f"`positive_weight` is {self.positive_weight}; expected a number between 0 and 1, "
                "or None"
            )

    @property
    def channels(self) -> int:
        return self.logits

    @property
    def alignment_channels(self) -> int:
        return 2

    def loss_terms(
        self,
        output: Float[Tensor, "b c h w"],
        target: Float[Tensor, "b 1 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        return losses.balanced_cross_entropy(
            self.resize(output, target), target, self.valid(target), self.positive_weight
        )

    def decode(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Float[Tensor, "b 1 h w"]:
        output = output.float()
        return output.sigmoid() if self.logits == 1 else output.softmax(1)[:, 1:]

    def decode_in_graph(
        self, output: Float[Tensor, "b c h w"], camera: Camera = None
    ) -> Mapping[str, Float[Tensor, "b 1 h w"]]:
        return {"": self.decode(output, camera)}

    def metric(self) -> "SaliencyMetric":
        from crosstask.metrics import SaliencyMetric

        return SaliencyMetric()

    def constant(self) -> MeanMap:
        return MeanMap(1, self.valid, (0.0,))

    def score(self, metrics: dict[str, float]) -> float:
        return metrics["max_iou"]

    def valid(self, target: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
        return target != self.void

    def alignment_map(
        self, output: Float[Tensor, "b c h w"], **reference: Any
    ) -> Float[Tensor, "b 2 h w"]:
        """Weighted self-information of both classes."""
        salient = self.decode(output)
        return self_information(torch.cat([1 - salient, salient], dim=1))

    def describe(self, value: Shaped[Tensor, "*c"], kind: str) -> str:
        return f"probability {float(value.reshape(-1)[0]):.2f}"

    def files(self, value: Float[Tensor, "*one h w"], kind: str) -> list[PredictionFile]:
        return probability_file(value)

    def colorize(self, value: Float[Tensor, "*one h w"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        """White where salient, black elsewhere."""
        salient = value.detach().reshape(1, *value.shape[-2:]).float().cpu()
        grey = (salient.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
        void = torch.tensor(VOID_COLOR, dtype=torch.uint8).view(3, 1, 1)
        return torch.where(salient != self.void, grey, void)
