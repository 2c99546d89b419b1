"""Dataset-level metrics: accumulators that do not depend on how samples are batched."""

from crosstask.metrics.boundaries import BoundaryMetric
from crosstask.metrics.delta import delta
from crosstask.metrics.depth import DepthMetric
from crosstask.metrics.edges import EdgesMetric
from crosstask.metrics.normals import NormalsMetric
from crosstask.metrics.saliency import SaliencyMetric
from crosstask.metrics.segmentation import SegmentationMetric

__all__ = [
    "BoundaryMetric",
    "DepthMetric",
    "EdgesMetric",
    "NormalsMetric",
    "SaliencyMetric",
    "SegmentationMetric",
    "delta",
]
