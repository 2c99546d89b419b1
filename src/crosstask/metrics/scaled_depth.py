"""Errors of depth that is known up to scale."""

from torch import Tensor

from crosstask.metrics.depth import DepthMetric


class MedianScaledDepthMetric(DepthMetric):
    """`DepthMetric` of predictions multiplied by median(truth) / median(prediction), and nothing else.

    Every name starts with ``median_scaled/``, so that no number is taken for one of metric depth.
    """

    def __init__(self, near: float = 1e-3, far: float = 80.0) -> None:
        super().__init__(near=near, far=far, median_scaling=True)

    def compute(self) -> dict[str, Tensor]:
        values = super().compute()
        return {name: value for name, value in values.items() if name.startswith("median_scaled/")}
