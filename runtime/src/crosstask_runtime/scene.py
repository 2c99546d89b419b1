"""What a model says about one image, with names and units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstask_runtime.intrinsics import centred, unproject

if TYPE_CHECKING:
    from PIL import Image

UP_TO_SCALE = "up to scale"
METRIC = "metric"
TRAINING_CAMERA = "metric for the training camera"
TOLERANCE = 0.05
"""Focal lengths that differ by less count as the same."""
GIVE_CAMERA = "give `fx` (pixels), `fov` (degrees across the image) or `intrinsics`"
NO_FOCAL = "the file was exported without a focal length (`--focal none`); export it again with one"


@dataclass(frozen=True)
class Scene:
    """One image's quantities, at the image's own size, as `crosstask.load(...).predict` names them.

    Attributes:
        image: (H,W,3) uint8 RGB.
        values: {task: (H,W) class indices | (1,H,W) metres | (3,H,W) unit vectors | (1,H,W)
            probability}.
        probabilities: {task: (H,W)} of the class shown, of tasks with classes.
        kinds: {task: "metric", "metric for the training camera" or "up to scale"} of lengths.
        notes: {task: why it is up to scale, and what to give}.
        classes: {task: names}.
        focal: focal length in pixels of the image, or None.
        quantities: what the file says of every task.
        facts: of live frames: `latency_ms`, `fps`, `dropped`.
        camera_source: where the focal length is from: "fx", "intrinsics", a field of view, EXIF, the
            model; empty without one.
        intrinsics: (3,3) of the upright image in pixels: the matrix given, else one of `focal` with
            the principal point in the middle; None without a focal length.
    """

    image: np.ndarray
    values: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]
    kinds: Mapping[str, str]
    notes: Mapping[str, str]
    focal: float | None
    quantities: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, float] = field(default_factory=dict)
    camera_source: str = ""
    intrinsics: np.ndarray | None = None

    def __getitem__(self, task: str) -> np.ndarray:
        return self.values[task]

    @property
    def classes(self) -> dict[str, list[str]]:
        """Names of the classes, of tasks that have some."""
        return {k: list(q["classes"]) for k, q in self.quantities.items() if "classes" in q}

    def numpy(self) -> dict[str, np.ndarray]:
        """The values."""
        return dict(self.values)

    def show(self, task: str) -> "Image.Image":
        """A map in colours: classes in the model's own, near bright, normals as RGB, edges dark."""
        from PIL import Image

        quantity, value = self.quantities[task], self.values[task]
        if "colors" in quantity:
            table = np.array([*quantity["colors"], (60, 60, 60)], np.uint8)
            return Image.fromarray(table[np.minimum(value, len(table) - 1)])
        if quantity.get("vectors"):
            facing = value.transpose(1, 2, 0) * np.array([1.0, -1.0, -1.0], np.float32)
            return Image.fromarray(((facing + 1) * 127.5).round().clip(0, 255).astype(np.uint8))
        grey = value.reshape(value.shape[-2:]).astype(np.float32)
        if quantity["is_depth"]:
            low, high = np.quantile(grey, [0.01, 0.99])
            grey = 1 - np.log(np.maximum(grey, 1e-6) / max(low, 1e-6)) / max(
                math.log(max(high, 1e-6) / max(low, 1e-6)), 1e-6
            )
        else:
            grey = 1 - grey
        return Image.fromarray((grey.clip(0, 1) * 255).astype(np.uint8)).convert("RGB")

    def points(self, focal: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N,3) points (x right, y down, z forward; metres, or up to scale) and (N,3) colours.

        Args:
            focal: in pixels of the image, of a camera with the principal point in the middle; the
                scene's own camera if left out, and without one that of 60 degrees across.

        Raises:
            ValueError: no task measures depth.
        """
        depths = [task for task, q in self.quantities.items() if q["is_depth"]]
        if not depths:
            raise ValueError(f"`tasks` are {list(self.values)}; a point cloud needs one of depth")
        depth = self.values[depths[0]].reshape(self.image.shape[:2]).astype(np.float32)
        valid = np.isfinite(depth) & (depth > 0)
        return unproject(depth, self._camera(focal))[valid], self.image[valid]

    def _camera(self, focal: float | None) -> np.ndarray:
        """The camera (3,3) of a point cloud."""
        if not focal and self.intrinsics is not None:
            return self.intrinsics
        height, width = self.image.shape[:2]
        pixels = focal or self.focal or 0.5 * width / math.tan(math.radians(30))
        return centred(pixels, height, width)

    def save_points(self, path: Path | str, focal: float | None = None) -> int:
        """Writes a binary .ply (x right, y down, z forward); returns the number of points."""
        points, colors = self.points(focal)
        record = np.empty(len(points), [("p", "<f4", 3), ("c", "u1", 3)])
        record["p"], record["c"] = points, colors
        names = [f"property float {axis}" for axis in "xyz"]
        names += [f"property uchar {name}" for name in ("red", "green", "blue")]
        head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *names]
        text = "\n".join([*head, "end_header"]) + "\n"
        Path(path).write_bytes(text.encode("ascii") + record.tobytes())
        return len(points)


def kind_of(
    quantity: Mapping[str, Any], focal: float | None, trained: Sequence[float] | None
) -> tuple[str, str]:
    """(kind, note) of a task that measures lengths.

    Args:
        focal: in pixels of the image; None where not known.
        trained: least and largest focal length of training, in pixels of this image.
    """
    if quantity["outputs"][0].endswith("_up_to_scale"):
        return UP_TO_SCALE, NO_FOCAL if quantity["camera_aware"] else ""
    if quantity["camera_aware"]:
        hint = f"its scale follows from the focal length: {GIVE_CAMERA}"
        return (METRIC, "") if focal else (UP_TO_SCALE, hint)
    if trained is None:
        return UP_TO_SCALE, (
            "metres hold for the training camera only, and the model does not name it (it was "
            "trained before that was recorded, or on images without intrinsics)"
        )
    low, high = trained
    if focal and low / (1 + TOLERANCE) <= focal <= high * (1 + TOLERANCE):
        return TRAINING_CAMERA, ""
    one = high <= low * (1 + TOLERANCE)
    pixels = f"{math.sqrt(low * high):.0f}" if one else f"{low:.0f} to {high:.0f}"
    told = f"metres hold for the training camera only, {pixels} pixels at this image size"
    if not focal:
        return UP_TO_SCALE, f"{told}; {GIVE_CAMERA}"
    factor = (low if focal < low else high) / focal
    return UP_TO_SCALE, (
        f"the focal length is {focal:.0f} pixels; {told}; things look as large as in training where "
        f"the network runs at a `size` {factor:.2f} times as large"
    )
