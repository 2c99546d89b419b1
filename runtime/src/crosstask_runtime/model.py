"""An exported file, opened."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosstask_runtime.camera import KnownFocal, focal_of_image
from crosstask_runtime.images import as_bytes, as_floats, to_image
from crosstask_runtime.intrinsics import Matrix, centred
from crosstask_runtime.scene import Scene, kind_of

VERSION = 2
SMALLEST = 32


class ModelFileError(ValueError):
    """A file cannot be opened; says why and what to do."""


class Model:
    """What `load` returns.

    Attributes:
        tasks: names, in order.
        facts: the file's own entries, see docs/deploy.md of crosstask.
        session: of onnxruntime.
    """

    def __init__(self, session: Any, facts: Mapping[str, Any], place: str) -> None:
        self.session, self.facts, self.place = session, dict(facts), place
        self.quantities = {q["task"]: q for q in facts["quantities"]}
        self.tasks = tuple(self.quantities)
        self._inputs = {value.name: value for value in session.get_inputs()}
        self._outputs = [value.name for value in session.get_outputs()]

    @property
    def takes_focal(self) -> bool:
        """Whether the file has an input for the focal length."""
        return "focal" in self._inputs

    @property
    def own_focal(self) -> float | None:
        """Focal length in pixels of the one camera that the file is for; None for any."""
        own = self.facts.get("focal")
        return float(own) if isinstance(own, int | float) else None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) of the only images that the file takes; None for any."""
        size = self.facts.get("image_size")
        return None if size is None else (int(size[0]), int(size[1]))

    def predict(
        self,
        image: Any,
        fx: float | None = None,
        *,
        intrinsics: Matrix | None = None,
        fov: float | None = None,
    ) -> Any:
        """Predicts one image, or a list of them one by one.

        Args:
            image: path, Pillow image, (H,W,3) uint8 RGB array, (3,H,W) float array in [0,1], or a
                list.
            fx: focal length in pixels of the image.
            intrinsics: (3,3) in pixels of the image as stored, in place of `fx`; where EXIF turns the
                image upright, the camera is turned along.
            fov: horizontal field of view in degrees of the image as stored, in place of it. Without any
                of these the focal length of a file's or Pillow image's EXIF data is taken, where it
                has one and the file is not for one camera.

        Returns:
            A `Scene` (a list of them for a list), at the image's own size.

        Raises:
            ImageError: not an image.
            ValueError: a size or a camera that the file cannot take.
        """
        if isinstance(image, list | tuple):
            return [self.predict(one, fx, intrinsics=intrinsics, fov=fov) for one in image]
        stored = to_image(image, self._value_range())
        focal = focal_of_image(stored, intrinsics, fx, fov, exif=self.own_focal is None)
        values = self.run(stored.pixels[None], focal.pixels)
        if focal.pixels is None and self.own_focal is not None:
            matrix = centred(self.own_focal, *stored.pixels.shape[:2])
            focal = KnownFocal(self.own_focal, "the model, which is for one camera", matrix)
        found = {name: value[0] for name, value in values.items()}
        return self._scene(stored.pixels, found, focal)

    def run(self, images: np.ndarray, focal: float | None = None) -> dict[str, np.ndarray]:
        """The file's outputs by name, with the axis of the batch.

        Args:
            images: (B,H,W,3) uint8, or float32 in [0,1].
            focal: in pixels of these images.

        Raises:
            ValueError: a size or a camera that the file cannot take.
        """
        self._check(images.shape[1:3])
        self._check_focal(focal)
        if "uint8" in self._inputs["image"].type:
            feeds = {"image": np.ascontiguousarray(np.stack([as_bytes(i) for i in images]))}
        else:
            feeds = {"image": np.stack([as_floats(i) for i in images])}
        if self.takes_focal:  # 0 stands for an unknown one
            feeds["focal"] = np.full(len(images), focal or 0.0, np.float32)
        return dict(zip(self._outputs, self.session.run(self._outputs, feeds), strict=True))

    def _check(self, size: tuple[int, ...]) -> None:
        height, width = size
        fixed = self.image_size
        if fixed is not None and fixed != (height, width):
            raise ValueError(
                f"{self.place} takes images of {fixed[1]} x {fixed[0]} pixels; this one has {width} x "
                f"{height}; resize it, or export without `--image-size`"
            )
        least = SMALLEST if self.facts["size"] == "native" else 2
        if min(height, width) < least:
            raise ValueError(
                f"the image has {width} x {height} pixels; {self.place} takes at least {least} x {least}"
            )

    def _value_range(self) -> tuple[float, float] | None:
        value = self.facts.get("value_range")
        if value is None or value == "auto":
            return None
        low, high = value.split("..") if isinstance(value, str) else value
        return float(low), float(high)

    def _scene(
        self, image: np.ndarray, found: Mapping[str, np.ndarray], focal: KnownFocal
    ) -> Scene:
        values, probabilities, kinds, notes = {}, {}, {}, {}
        for task, quantity in self.quantities.items():
            values[task] = found[quantity["outputs"][0]]
            for name in quantity["outputs"][1:]:
                probabilities[task] = found[name]
            if quantity["is_depth"]:
                trained = self._trained(*image.shape[:2])
                kinds[task], note = kind_of(quantity, focal.pixels, trained)
                if note:
                    notes[task] = note
        return Scene(
            as_bytes(image),
            values,
            probabilities,
            kinds,
            notes,
            focal.pixels,
            self.quantities,
            camera_source=focal.source,
            intrinsics=focal.matrix,
        )

    def _check_focal(self, focal: float | None) -> None:
        """Holds a focal length against the one that the file was made for."""
        own = self.own_focal
        if own is not None and focal is not None and abs(focal - own) > 0.01 * own:
            raise ValueError(
                f"the focal length is {focal:g} pixels; {self.place} was exported for a camera of {own:g} "
                "pixels; leave it out, or export with `--focal input`"
            )

    def _trained(self, height: int, width: int) -> tuple[float, float] | None:
        """Focal lengths of training in pixels of an image of this size."""
        camera, size = self.facts.get("training_camera"), self.facts["size"]
        if not camera:
            return None
        feeding = self.facts.get("feeding") or {}
        own = feeding.get("size") or self.facts.get("trained_size")
        seen = own if size == "dynamic" else size
        if not seen or isinstance(seen, str):
            seen = (height, width)
        factor = math.sqrt(height * width / (seen[0] * seen[1]))
        if feeding.get("fit") == "keep":  # inside of it, with the image's own aspect
            factor = max(height / seen[0], width / seen[1])
        low, high = camera["focal"]
        return low * factor, high * factor


def load(
    file: Path | str,
    *,
    threads: int | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Model:
    """Opens an ONNX file that `crosstask export` wrote, with decoded outputs.

    Args:
        threads: of one prediction; the cores that this process may use if left out.
        providers: of onnxruntime, in order of preference.

    Raises:
        ModelFileError: missing, damaged, another program's, with raw outputs, or of a newer export.
    """
    import onnxruntime

    path = Path(file)
    if not path.is_file():
        raise ModelFileError(f"there is no file {path}; write one with `crosstask export`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _cores()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's own kinds have no common base
        raise ModelFileError(
            f"{path} is damaged or no ONNX file ({str(error).partition(chr(10))[0]}); export it again"
        ) from error
    return Model(session, read_facts(session.get_modelmeta().custom_metadata_map, path), str(path))


def read_facts(stored: Mapping[str, str], path: Path | str) -> dict[str, Any]:
    """The entries of a file, as values.

    Raises:
        ModelFileError: they are not of this kind of file.
    """
    if stored.get("library") != "crosstask":
        raise ModelFileError(f"{path} was not written by `crosstask export`")
    version = int(stored.get("metadata_version", "1"))
    if version > VERSION:
        raise ModelFileError(
            f"{path} was written by a newer crosstask (entries {version}, this one reads {VERSION}); "
            "upgrade with `pip install -U crosstask-runtime`"
        )
    if version < VERSION or stored.get("form") != "decoded":
        raise ModelFileError(f"{path} gives raw outputs; export it with `--outputs decoded`")
    facts: dict[str, Any] = {}
    for key, text in stored.items():
        try:
            facts[key] = json.loads(text)
        except ValueError:
            facts[key] = text
    return facts


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
