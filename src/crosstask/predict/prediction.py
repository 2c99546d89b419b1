"""What a model says about one image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from crosstask.tasks import Task


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image, at the image's own size.

    Attributes:
        image: (3,H,W) RGB in [0,1].
        values: {task: (H,W) int64 classes | (1,H,W) metres | (3,H,W) unit vectors | (1,H,W)
            probability}.
        intrinsics: (3,3) of the image, or None.
        kinds: {task: "metric", "metric for the training camera" or "up to scale"} of the tasks that
            measure lengths, see `Task.kind_of`.
        notes: {task: why it is up to scale, and what to give}.
        remark: what is unusual about the image for this model, in one sentence; may be empty.
        camera_source: where the focal length is from: "fx", "intrinsics", a field of view, EXIF; empty
            without a camera.
    """

    image: Tensor
    values: dict[str, Tensor]
    intrinsics: Tensor | None
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""
    camera_source: str = ""

    @property
    def depth_kind(self) -> str | None:
        """The kind of the first task that measures lengths; None without one."""
        return next(iter(self.kinds.values()), None)

    @property
    def focal_told(self) -> str:
        """The focal length and where it is from, in words; empty without a camera."""
        if self.intrinsics is None:
            return ""
        return f"focal length {float(self.intrinsics[0, 0]):.0f} pixels from {self.camera_source}"

    def kind(self, task: Task) -> str:
        """The kind of one task's values; empty where it measures no lengths."""
        return self.kinds.get(task.name, "")

    def __getitem__(self, task: str) -> Tensor:
        return self.values[task]

    def numpy(self) -> dict[str, np.ndarray]:
        """The values as numpy arrays."""
        return {name: value.numpy() for name, value in self.values.items()}
