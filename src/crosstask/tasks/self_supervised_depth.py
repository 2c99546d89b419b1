"""Depth that is learned from video, without labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask import losses
from crosstask.geometry.photometric import depth_to_disparity, disparity_to_depth
from crosstask.losses import Terms
from crosstask.tasks.camera import (
    UP_TO_SCALE,
    Camera,
    TrainingCamera,
    kind_for_one_camera,
    note_for_one_camera,
    rule_for_one_camera,
)
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.depth import Depth
from crosstask.tasks.depth_presentation import METRIC_DEPTH, DepthPresentation
from crosstask.tasks.target import Target
from crosstask.tasks.task import Task

if TYPE_CHECKING:
    from crosstask.metrics import DepthMetric

Metres = float | int


@dataclass(frozen=True, kw_only=True)
class SelfSupervisedDepth(DepthPresentation, Task):
    """Depth (D) as a bounded disparity, for the self-supervised regime (SDE, Monodepth2).

    Output: one channel r. ``sigmoid(r)`` is a disparity in [0, 1], decoded as
    ``1 / (1/farthest + (1/nearest - 1/farthest) * sigmoid(r))``. Video of one camera tells depth up
    to one unknown factor, so a prediction is "up_to_scale" unless the regime was told a length
    (speed or camera height); it is then "metric", for the camera it was trained with.

    Where there are labels, they judge it (and `loss` could teach it: mean absolute difference of
    logarithms). Target (1,H,W) metres, void 0.

    Args:
        nearest, farthest: range of the prediction, metres (or units).
        near, far: labels outside of it do not count.
        start: depth that an untrained network predicts; None is the geometric mean of the range.
        kind: what a prediction is.
        scaling: which metrics: "median", those of predictions multiplied by median(truth) /
            median(prediction), image by image, named ``median_scaled/...``; "none", of predictions as
            they are; "both". By default "median" for depth up to scale and "both" for metric depth.
    """

    name: str = "depth"
    nearest: Metres = 0.1
    farthest: Metres = 100.0
    near: Metres = 1e-3
    far: Metres = 80.0
    start: Metres | None = None
    kind: Literal["up_to_scale", "metric"] = "up_to_scale"
    scaling: Literal["median", "none", "both"] | None = None

    target: ClassVar[Target] = Depth.target
    headline: ClassVar[str] = "median_scaled/rmse"
    higher_is_better: ClassVar[bool] = False
    learns_from_video: ClassVar[bool] = True
    main_metrics: ClassVar[tuple[str, ...]] = (
        *METRIC_DEPTH,
        *(f"median_scaled/{name}" for name in METRIC_DEPTH),
    )
    further_headlines: ClassVar[tuple[str, ...]] = ("rmse",)

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.farthest:
            raise ValueError(
                f"`nearest`, `farthest` are {self.nearest}, {self.farthest}; expected 0 < nearest < "
                "farthest, in metres"
            )
        if self.start is not None and not self.nearest < self.start < self.farthest:
            raise ValueError(
                f"`start` is {self.start}; expected metres between {self.nearest} and {self.farthest}"
            )
        if self.kind not in ("up_to_scale", "metric"):
            raise ValueError(f"`kind` is {self.kind!r}; expected 'up_to_scale' or 'metric'")
        if self.scaling not in (None, "median", "none", "both"):
            raise ValueError(f"`scaling` is {self.scaling!r}; expected 'median', 'none' or 'both'")
        if self.protocol != "correct":
            raise ValueError(
                f"`protocol` is {self.protocol!r}; expected 'correct', the only one of depth without "
                "labels: its metrics were not affected by the released depth conversion"
            )
        Depth(near=self.near, far=self.far)  # checks the range of labels

    @property
    def channels(self) -> int:
        return 1

    @property
    def _labels(self) -> Depth:
        """Labels and trivial predictor are those of metric depth."""
        return Depth(name=self.name, near=self.near, far=self.far)

    @property
    def typical(self) -> float:
        """Depth that an untrained network predicts: `start`."""
        return math.sqrt(self.nearest * self.farthest) if self.start is None else float(self.start)

    def initial_bias(self) -> tuple[float, ...]:
        """Raw output of the starting depth."""
        value = float(depth_to_disparity(torch.tensor(self.typical), self.nearest, self.farthest))
        return (math.log(value / (1.0 - value)),)

    def disparity(self, output: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Bounded disparity in [0, 1], float32."""
        return torch.sigmoid(output.float())

    def depth(self, disparity: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Depth in [nearest, farthest] from `disparity`."""
        return disparity_to_depth(disparity, self.nearest, self.farthest)

    def loss_terms(
        self,
        output: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        valid = self.valid(target)
        prediction = self.decode(self.resize(output, target))
        truth = torch.where(valid, target.float(), 1.0)
        return losses.absolute(prediction.log(), truth.log(), valid)

    def decode(
        self, output: Float[Tensor, "b 1 h w"], camera: Camera = None
    ) -> Float[Tensor, "b 1 h w"]:
        """Depth in [nearest, farthest]: metres, or up to scale; see `kind`."""
        return self.depth(self.disparity(output))

    def decode_in_graph(
        self, output: Float[Tensor, "b 1 h w"], camera: Camera = None
    ) -> Mapping[str, Float[Tensor, "b 1 h w"]]:
        return {"": self.decode(output, camera)}

    def metric(self) -> "DepthMetric":
        from crosstask.metrics.depth import DepthMetric
        from crosstask.metrics.scaled_depth import MedianScaledDepthMetric

        near, far = float(self.near), float(self.far)
        scaling = self.scaling or ("median" if self.kind == "up_to_scale" else "both")
        if scaling == "median":
            return MedianScaledDepthMetric(near, far)
        return DepthMetric(near, far, median_scaling=scaling == "both")

    def constant(self) -> MeanMap:
        return self._labels.constant()

    def score(self, metrics: dict[str, float]) -> float:
        return metrics.get("median_scaled/delta1", metrics.get("delta1", math.nan))

    def valid(self, target: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
        return self._labels.valid(target)

    @property
    def holds_for_one_camera(self) -> bool:
        return self.kind == "metric"

    @property
    def arbitrary_scale(self) -> bool:
        return self.kind == "up_to_scale"

    @property
    def label_range(self) -> tuple[float, float]:
        return self._labels.label_range

    def kind_of(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        return kind_for_one_camera(camera, trained) if self.holds_for_one_camera else UP_TO_SCALE

    def kind_note(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        if self.holds_for_one_camera:
            return note_for_one_camera(camera, trained)
        return "it is learned from video without a known length; give `camera_height` for metres"

    def camera_rule(self, trained: TrainingCamera | None = None) -> str:
        if self.holds_for_one_camera:
            return rule_for_one_camera(self.name, trained)
        return f"{self.name} is learned without labels and known up to scale"

    def scale_label(self, kind: str | None = None) -> str:
        """As of depth; without a kind that of this task's own values."""
        own = kind is None and not self.holds_for_one_camera
        return super().scale_label(UP_TO_SCALE if own else kind)

    def alignment_map(
        self, output: Float[Tensor, "b 1 h w"], **reference: Any
    ) -> Float[Tensor, "b 1 h w"]:
        """The bounded disparity itself."""
        return self.disparity(output)

    def color_scale(self, *values: Float[Tensor, "*v"]) -> dict[str, float]:
        """That of metric depth; none for depth up to scale, which is not comparable with metres."""
        return super().color_scale(*values) if self.kind == "metric" else {}
