"""Metric depth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from crosstask import losses
from crosstask.losses import Terms
from crosstask.tasks.camera import (
    GIVE_CAMERA,
    METRIC,
    UP_TO_SCALE,
    Camera,
    TrainingCamera,
    focal_lengths,
    kind_for_one_camera,
    known,
    note_for_one_camera,
    rule_for_one_camera,
)
from crosstask.tasks.constant import MeanMap
from crosstask.tasks.depth_presentation import METRIC_DEPTH, DepthPresentation
from crosstask.tasks.resample import resize_depth
from crosstask.tasks.target import Target
from crosstask.tasks.task import Task

if TYPE_CHECKING:
    from crosstask.metrics import DepthMetric

Metres = float | int


def inverse_depth(depth: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """DenseMTL's inverse depth y = 655.36 / (z + 0.01), z in metres: 65.47 at 10 m."""
    return 655.36 / (depth + 0.01)


def depth_from_inverse(inverse: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The exact inverse of `inverse_depth`: z = 655.36 / y - 0.01."""
    return 655.36 / inverse - 0.01


def not_negative(value: Float[Tensor, "*d"]) -> str | None:
    """The `check` of depth."""
    return None if bool((value >= 0).all()) else "metres, 0 where unknown"


@dataclass(frozen=True, kw_only=True)
class Depth(DepthPresentation, Task):
    """Metric depth (D) along the optical axis.

    Target (1,H,W) metres, void 0. Output: one channel. Decoded: metres, always in [near, far].

    With `loss="berhu_inverse"` (DenseMTL) the network predicts inverse depth
    y = 655.36 / (z + 0.01): 65.47 at 10 m, 8.19 at 80 m. Its raw output r becomes
    y = 65.536 softplus(r), which is positive for every r, is about 1 at 10 m, and
    has gradients of the size of the other tasks' at the paper's weights. With `loss="l1"`
    (SCA-MTL) the network predicts metres, z = softplus(r).

    Args:
        loss: berHu on inverse depth, or L1 in metres. Stored as `objective`, because `loss` is
            the method.
        near, far: metres. Labels outside do not count ("released": any label > 0 counts in the
            loss); predictions are clamped to the range.
        berhu_threshold: fixed threshold of berHu in units of y; None is 0.2 times the largest
            error of the batch, over all processes.
        activation: "softplus", or "identity" where the raw output already is y (the paper and the
            authors' weights) or metres: at the paper's weights the encoder's gradients are then some
            forty times smaller. A y of 0 decodes to `far`, never to NaN.
        canonical_focal: focal length in pixels at which the network works: the target is divided,
            the prediction multiplied by focal / canonical_focal, so that metres stay metres on
            another camera. Without a camera the prediction is up to scale.
        start: depth that an untrained network predicts; None is the geometric mean of 1 m and
            `far`.
        median_scaling: add metrics of predictions multiplied by median(truth) /
            median(prediction), image by image, under `median_scaled/...`.
    """

    name: str = "depth"
    objective: str = "berhu_inverse"
    near: Metres = 1e-3
    far: Metres = 80.0
    berhu_threshold: Metres | None = None
    activation: str = "softplus"
    canonical_focal: Metres | None = None
    start: Metres | None = None
    median_scaling: bool = False

    target: ClassVar[Target] = Target(
        channels=1,
        void=0,
        unit="metres along the optical axis",
        resize=resize_depth,  # metres stay: the camera changes
        check=not_negative,
        distance=True,
    )
    headline: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[bool] = False
    training_only: ClassVar[tuple[str, ...]] = (
        "objective",
        "berhu_threshold",
        "activation",
        "canonical_focal",
        "start",
    )
    paper_weight: ClassVar[float | None] = 1.0
    family_weight: ClassVar[float | None] = 1.0
    # On labelled source scenes the pixels above it err half as often (factor above 1.25).
    trusted: ClassVar[float] = 0.93
    main_metrics: ClassVar[tuple[str, ...]] = METRIC_DEPTH
    further_headlines: ClassVar[tuple[str, ...]] = ("median_scaled/rmse",)

    def __init__(
        self,
        loss: str | None = None,
        *,
        name: str = "depth",
        protocol: str = "correct",
        objective: str = "berhu_inverse",
        near: Metres = 1e-3,
        far: Metres = 80.0,
        berhu_threshold: Metres | None = None,
        activation: str = "softplus",
        canonical_focal: Metres | None = None,
        start: Metres | None = None,
        median_scaling: bool = False,
    ) -> None:
        values = dict(locals())
        for key in ("self", "loss"):
            del values[key]
        values["objective"] = loss or objective
        for key, value in values.items():
            object.__setattr__(self, key, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in ("berhu_inverse", "l1"):
            raise ValueError(f"`loss` is {self.objective!r}; expected 'berhu_inverse' or 'l1'")
        if self.activation not in ("softplus", "identity"):
            raise ValueError(
                f"`activation` is {self.activation!r}; expected 'softplus' or 'identity'"
            )
        if not 0 < self.near < self.far:
            raise ValueError(
                f"`near`, `far` are {self.near}, {self.far}; expected 0 < near < far, in metres"
            )
        for name in ("berhu_threshold", "canonical_focal", "start"):
            # Fields of this class.
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` is {value}; expected a positive number or None")

    @property
    def channels(self) -> int:
        return 1

    @property
    def _unit(self) -> float:
        return 65.536 if self.objective == "berhu_inverse" else 1.0

    def initial_bias(self) -> tuple[float, ...]:
        """Raw output of `start` metres."""
        depth = math.sqrt(self.far) if self.start is None else float(self.start)
        quantity = 655.36 / (depth + 0.01) if self.objective == "berhu_inverse" else depth
        if self.activation == "identity":
            return (quantity,)
        quantity /= self._unit
        return (quantity + math.log(-math.expm1(-quantity)),)

    def quantity(self, output: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """What the loss compares, in float32: inverse depth y, or metres, at the canonical focal."""
        if self.activation == "identity":
            return losses.precise(output)
        return self._unit * F.softplus(losses.precise(output))

    def focal_factor(self, camera: Camera) -> Float[Tensor, "b 1 1 1"] | float:
        """focal / canonical_focal of each image; 1 without either.

        The focal length is the geometric mean of both axes. An image whose camera is unknown (not
        finite or not positive) is taken at the canonical focal length.
        """
        if self.canonical_focal is None or camera is None:
            return 1.0
        focal = focal_lengths(camera)
        has_one = torch.isfinite(focal) & (focal > 0)
        return torch.where(has_one, focal / self.canonical_focal, 1.0).view(-1, 1, 1, 1)

    def _target_quantity(
        self, target: Float[Tensor, "b 1 h w"], camera: Camera
    ) -> Float[Tensor, "b 1 h w"]:
        if self.canonical_focal is not None and camera is None:
            raise ValueError(
                "`camera` is missing; expected the intrinsics of the target, because "
                "`canonical_focal` is set; pass the sample's `intrinsics`"
            )
        canonical = torch.where(self.valid(target), losses.precise(target), 1.0)
        canonical = canonical / self.focal_factor(camera)
        return inverse_depth(canonical) if self.objective == "berhu_inverse" else canonical

    def loss_terms(
        self,
        output: Float[Tensor, "b 1 h w"],
        target: Float[Tensor, "b 1 ht wt"],
        camera: Camera = None,
    ) -> Terms:
        quantity = self.quantity(self.resize(output, target))
        truth, valid = self._target_quantity(target, camera), self.valid(target)
        if self.objective == "l1":
            return losses.absolute(quantity, truth, valid)
        return losses.berhu(quantity, truth, valid, self.berhu_threshold)

    def decode(
        self, output: Float[Tensor, "b 1 h w"], camera: Camera = None
    ) -> Float[Tensor, "b 1 h w"]:
        """Metres in [near, far]; up to scale where `canonical_focal` is set and no camera is given.

        "released" returns the released code's z' = 655.36 / y - 1, 0.99 m short of the depth,
        in which its metrics are measured; a negative y becomes `near` there.
        """
        quantity = self.quantity(output)
        if self.objective == "l1":
            depth = quantity
        elif self.protocol == "released":
            depth = depth_from_inverse(quantity)
        else:
            depth = depth_from_inverse(quantity.clamp_min(1e-4))
        depth = depth * self.focal_factor(camera)
        if self.protocol == "released":
            depth = depth - 0.99
        return depth.clamp(self.near, self.far)

    def decode_in_graph(
        self, output: Float[Tensor, "b 1 h w"], camera: Camera = None
    ) -> Mapping[str, Float[Tensor, "b 1 h w"]]:
        return {"": self.decode(output, camera)}

    @property
    def camera_aware(self) -> bool:
        return self.canonical_focal is not None

    @property
    def holds_for_one_camera(self) -> bool:
        return self.canonical_focal is None

    def kind_of(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        if self.camera_aware:
            return METRIC if known(camera) else UP_TO_SCALE
        return kind_for_one_camera(camera, trained)

    def kind_note(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        if self.camera_aware:
            return (
                "" if known(camera) else f"its scale follows from the focal length: {GIVE_CAMERA}"
            )
        return note_for_one_camera(camera, trained)

    def camera_rule(self, trained: TrainingCamera | None = None) -> str:
        if self.camera_aware:
            return (
                f"{self.name} is predicted at a canonical focal length and multiplied by "
                "focal / canonical; without intrinsics it is up to scale"
            )
        return rule_for_one_camera(self.name, trained)

    @property
    def label_range(self) -> tuple[float, float]:
        return float(self.near), float(self.far)

    def with_raw_output(self) -> "Depth":
        return replace(self, activation="identity")

    def with_scale_free_metrics(self) -> "Depth":
        return replace(self, median_scaling=True)

    def pseudo_label(
        self,
        output: Float[Tensor, "b 1 h w"],
        mirrored: Float[Tensor, "b 1 h w"],
        camera: Camera = None,
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """Confidence: the smaller over the larger of both answers; 0 at the ends of the range."""
        label = self.decode((output + mirrored) / 2, camera)
        first, second = self.decode(output, camera), self.decode(mirrored, camera)
        agreement = torch.minimum(first, second) / torch.maximum(first, second)
        inside = (label > self.near) & (label < self.far)
        return label, torch.where(inside, agreement, 0.0).float()

    def moved(
        self, target: Float[Tensor, "b 1 h w"], camera: Camera, other: Camera
    ) -> Float[Tensor, "b 1 h w"]:
        """Depth at a canonical focal length: what is pasted looks as far away as z other / camera."""
        if not self.camera_aware:
            return target
        return target * (self.focal_factor(other) / self.focal_factor(camera))

    def metric(self) -> "DepthMetric":
        from crosstask.metrics import DepthMetric

        return DepthMetric(
            near=float(self.near),
            far=float(self.far),
            median_scaling=self.median_scaling,
            protocol=self.protocol,
        )

    def constant(self) -> MeanMap:
        shift = 0.99 if self.protocol == "released" else 0.0
        middle = math.sqrt(self.far)
        return MeanMap(
            1, self.valid, (middle,), lambda mean: (mean - shift).clamp(self.near, self.far)
        )

    def score(self, metrics: dict[str, float]) -> float:
        return metrics["delta1"]

    def valid(self, target: Float[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
        if self.protocol == "released":
            return (target > 0) & torch.isfinite(target)
        return (target >= self.near) & (target <= self.far)

    def alignment_reference(
        self, target: Float[Tensor, "b 1 h w"], camera: Camera = None
    ) -> dict[str, Any]:
        """Smallest and largest target in the loss's units; a default range without any label."""
        valid = self.valid(target)
        values = self._target_quantity(target, camera)
        ends = torch.tensor([1.0, float(self.far)], device=target.device)
        ends = (inverse_depth(ends) if self.objective == "berhu_inverse" else ends).sort().values
        low = torch.where(valid, values, torch.inf).amin()
        high = torch.where(valid, values, -torch.inf).amax()
        some = valid.any() & (high > low)
        return {"low": torch.where(some, low, ends[0]), "high": torch.where(some, high, ends[1])}

    def alignment_map(
        self, output: Float[Tensor, "b 1 h w"], **reference: Any
    ) -> Float[Tensor, "b 1 h w"]:
        """The non-negative quantity between `low` and `high` of the labelled domain, as 0 to 1."""
        low, high = reference["low"], reference["high"]
        return (self.quantity(output).relu() - low) / (high - low)
