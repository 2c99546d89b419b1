"""Which camera a network was trained with, and in which sense its lengths are metres."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Camera = Float[Tensor, "b 3 3"] | None
METRIC = "metric"
TRAINING_CAMERA = "metric for the training camera"
UP_TO_SCALE = "up to scale"

TOLERANCE = 0.05
"""Focal lengths that differ by less count as the same: lengths are then off by no more than that."""

GIVE_CAMERA = "give `fx` (pixels), `fov` (degrees across the image) or `intrinsics`"


def focal_lengths(camera: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b"]:
    """Geometric mean of both axes' focal lengths in pixels; 0 or not finite where unknown."""
    return (camera[..., 0, 0].float() * camera[..., 1, 1].float()).sqrt()


def known(camera: Float[Tensor, "*b 3 3"] | None) -> bool:
    """Whether a camera is given, and every one of the batch has a focal length."""
    if camera is None:
        return False
    focal = focal_lengths(camera)
    return bool((torch.isfinite(focal) & (focal > 0)).all())


@dataclass(frozen=True)
class TrainingCamera:
    """The focal lengths of the training images, in pixels.

    Two images of one camera have the same field of view; resized to the same area, they have the
    same focal length in pixels (geometric mean of both axes, so that a changed aspect does not
    count). A smaller or cropped image has another one in its own pixels: compare at one size, see
    `resized`.

    Args:
        low, high: smallest and largest; equal for one camera without random zoom.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < float("inf"):
            raise ValueError(
                f"`low`, `high` are {self.low}, {self.high}; expected focal lengths in pixels, "
                "0 < low <= high"
            )

    def resized(self, factor: float) -> "TrainingCamera":
        """The same camera for images whose sides are `factor` times as long."""
        return TrainingCamera(self.low * factor, self.high * factor)

    def fits(self, camera: Float[Tensor, "*b 3 3"] | None) -> bool:
        """Whether every given focal length is among the training's, within `TOLERANCE`."""
        if camera is None or not known(camera):
            return False
        focal = focal_lengths(camera)
        low, high = self.low / (1 + TOLERANCE), self.high * (1 + TOLERANCE)
        return bool(((focal >= low) & (focal <= high)).all())

    def __str__(self) -> str:
        if self.high <= self.low * (1 + TOLERANCE):
            return f"{(self.low * self.high) ** 0.5:.0f}"
        return f"{self.low:.0f} to {self.high:.0f}"

    def to_spec(self) -> dict[str, Any]:
        """JSON-safe, read back by `from_spec`."""
        return {"focal": [round(self.low, 3), round(self.high, 3)]}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | None) -> "TrainingCamera | None":
        """The camera that `to_spec` described; None where a model names none."""
        if not spec:
            return None
        low, high = spec["focal"]
        return cls(float(low), float(high))


def kind_for_one_camera(
    camera: Float[Tensor, "*b 3 3"] | None, trained: TrainingCamera | None
) -> str:
    """The kind of lengths that hold for the camera of training alone."""
    return TRAINING_CAMERA if trained is not None and trained.fits(camera) else UP_TO_SCALE


def note_for_one_camera(
    camera: Float[Tensor, "*b 3 3"] | None, trained: TrainingCamera | None
) -> str:
    """Why such lengths are up to scale, and what to give; empty where they are metres."""
    if trained is None:
        return (
            "metres hold for the training camera only, and the model does not name it (it was "
            "trained before that was recorded, or on images without intrinsics)"
        )
    if trained.fits(camera):
        return ""
    told = f"metres hold for the training camera only, {trained} pixels at this image size"
    if camera is None or not known(camera):
        return f"{told}; {GIVE_CAMERA}"
    focal = float(focal_lengths(camera).reshape(-1)[0])
    factor = (trained.low if focal < trained.low else trained.high) / focal
    return (
        f"the focal length is {focal:.0f} pixels; {told}; things look as large as in training where "
        f"the network runs at a `size` {factor:.2f} times as large"
    )


def rule_for_one_camera(name: str, trained: TrainingCamera | None) -> str:
    """`CameraDependence.camera_rule` of metres that hold for the camera of training alone."""
    told = "which is not recorded" if trained is None else f"focal length {trained} pixels"
    where = "" if trained is None else " at the size of the network's input"
    return f"{name} is metric for the training camera only ({told}{where})"


class CameraDependence:
    """What the camera of an image means for a task's predictions; the defaults fit one without lengths."""

    @property
    def camera_aware(self) -> bool:
        """Whether predictions take the camera into account, so that lengths hold for any."""
        return False

    @property
    def holds_for_one_camera(self) -> bool:
        """Whether decoded lengths are metres for the camera of training alone."""
        return False

    @property
    def arbitrary_scale(self) -> bool:
        """Whether decoded lengths have any unit, so that no factor to metres is too large."""
        return False

    def kind_of(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        """What a prediction is: "metric", "metric for the training camera" or "up to scale".

        Empty for a task that measures no lengths. Everything that names, labels or describes a
        prediction asks here.

        Args:
            camera: intrinsics of the predicted images; None or focal length 0 where not known.
            trained: the camera of training in pixels of images of the same size, where recorded.
        """
        return ""

    def kind_note(self, camera: Camera, trained: TrainingCamera | None = None) -> str:
        """Why a prediction is up to scale, and what to give to have metres; empty if it is not."""
        return ""

    def camera_rule(self, trained: TrainingCamera | None = None) -> str:
        """For model.json and the model card: for which cameras lengths hold; empty without lengths.

        Args:
            trained: the camera of training in pixels of the network's input.
        """
        return ""

    @property
    def label_range(self) -> tuple[float, float] | None:
        """Smallest and largest label of a task whose labels are lengths."""
        return None
