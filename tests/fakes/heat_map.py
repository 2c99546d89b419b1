"""A heat map: one channel in [0, 1], another metric, another loss, no letter, no class table, no camera."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from crosstask import losses
from crosstask.metrics.metric import TaskMetric, ratio
from crosstask.tasks import Target, Task
from crosstask.tasks.constant import ConstantPredictor, MeanMap


class Spread(TaskMetric):
    """Mean absolute error in percent of the range."""

    def __init__(self) -> None:
        super().__init__()
        self.add_counts(count=())
        self.add_sums(total=())

    def update(self, prediction: Tensor, target: Tensor) -> None:
        valid = target >= 0
        self.count += valid.sum()
        self.total += (prediction - target).abs()[valid].double().sum()

    def compute(self) -> dict[str, Tensor]:
        return {"spread": ratio(self.total, self.count)}

    def details(self) -> dict[str, Any]:
        return {"edges": [1, 2], "histograms": []}  # no figure of the report is made for these


@dataclass(frozen=True, kw_only=True)
class HeatMap(Task):
    """How warm a surface is, as a share of the warmest."""

    name: str = "heat"

    target: ClassVar[Target] = Target(channels=1, void=-1, unit="share of the warmest")
    headline: ClassVar[str] = "spread"
    higher_is_better: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        return 1

    def loss_terms(self, output: Tensor, target: Tensor, camera: Tensor | None = None) -> Any:
        return losses.absolute(self.decode(self.resize(output, target)), target, self.valid(target))

    def decode(self, output: Tensor, camera: Tensor | None = None) -> Tensor:
        return output.float().sigmoid()

    def metric(self) -> Spread:
        return Spread()

    def constant(self) -> ConstantPredictor:
        return MeanMap(1, self.valid, (0.5,))

    def score(self, metrics: dict[str, float]) -> float:
        return 1 - metrics["spread"]

    def valid(self, target: Tensor) -> Tensor:
        return target >= 0

    def alignment_map(self, output: Tensor, **reference: Any) -> Tensor:
        return self.decode(output)

    def colorize(self, value: Tensor, low: float = 0.0, high: float = 1.0, **scale: Any) -> Tensor:
        share = ((value.reshape(1, *value.shape[-2:]).float() - low) / (high - low)).clamp(0, 1)
        return (torch.cat([share, 0 * share, 1 - share]) * 255).to(torch.uint8).cpu()


class ScaledHeatMap(HeatMap):
    """The same with a legend bar from 0 to 1."""

    unit: ClassVar[str] = "of the warmest"

    def color_scale(self, *values: Tensor) -> dict[str, float]:
        return {"low": 0.0, "high": 1.0}
