"""Cityscapes (Cordts et al., CVPR 2016): street scenes with labels, stereo disparity and video.

Homepage: https://www.cityscapes-dataset.com. Labels are 8-bit `labelIds` 0..33. Disparity is a
16-bit PNG p with d = (p - 1) / 256 pixels; p = 0 and p = 1 carry no measurement (p = 1 would be
zero disparity, 1-6 % of the pixels). Depth is baseline * fx / d with the camera file of the very
frame: Hamburg, and some frames elsewhere, were driven with a second camera.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data import labels, lookups
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import (
    IMAGE_SUFFIXES,
    as_labels,
    image_size,
    list_images,
    read_ids,
    read_png,
    read_text,
)
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, Sample, intrinsics_matrix, unknown_intrinsics
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.resample import resize_depth, resize_nearest

_NAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})$")
_FULL_WIDTH, _FULL_HEIGHT = 2048, 1024


class Cityscapes(SceneDataset):
    """Segmentation, depth, normals from depth, edges from labels, and neighbouring frames.

    Args:
        classes: 19, 16, 13, 8 or 7 (`crosstask.data.labels.CITYSCAPES_TABLES`).
        images: `leftImg8bit` (1024x2048), `leftImg8bit_small` (pre-shrunk; labels and camera
            follow the size of its images), or None for the first of them that is there.
        mask_sky: Void the depth of sky, where stereo matching yields nonsense; None: where label
            files are there and the protocol is `correct`.
        mask_ego: The same for the own car and the rectification border.
        smoothing: Pixels around over which depth is averaged for normals computed from it, because
            stereo disparity is noisy; 0 is none.
        options: See `SceneDataset`. The paper's splits are train and val.
    """

    source = "cityscapes"
    supported = ("segmentation", "depth", "normals", "edges", "neighbours")
    splits = ("train", "val", "test", "train_extra")
    official: ClassVar[Mapping[str, int]] = {
        "train": 2975,
        "val": 500,
        "test": 1525,
        "train_extra": 19998,
    }
    homepage = "https://www.cityscapes-dataset.com/downloads"
    licence = "registration; non-commercial research and teaching"
    tree = """
root/
  leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png   (or leftImg8bit_small/, .jpg)
  gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png
  disparity/train/aachen/aachen_000000_000019_disparity.png
  camera/train/aachen/aachen_000000_000019_camera.json
  leftImg8bit_sequence/train/aachen/aachen_000000_000018_leftImg8bit.png   (for neighbours)
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        classes: int = 19,
        images: Literal["leftImg8bit", "leftImg8bit_small"] | None = None,
        mask_sky: bool | None = None,
        mask_ego: bool | None = None,
        smoothing: int = 0,
        **options: Any,
    ) -> None:
        self._classes, index = labels.choose(labels.CITYSCAPES_TABLES, classes, "Cityscapes")
        self._table = lookups.lookup(index, labels.CITYSCAPES_IDS)
        if images not in (None, "leftImg8bit", "leftImg8bit_small"):
            raise DataError(
                f"`images` is {images!r}; expected leftImg8bit, leftImg8bit_small or None"
            )
        full, shrunk = (Path(root) / f / split for f in ("leftImg8bit", "leftImg8bit_small"))
        small = images is None and shrunk.is_dir() and not full.is_dir()
        self.images = images or ("leftImg8bit_small" if small else "leftImg8bit")
        self._mask_sky, self._mask_ego, self.smoothing = mask_sky, mask_ego, smoothing
        self._last_ids: tuple[Path, np.ndarray] | None = None
        super().__init__(root, split, modalities, transform, **options)

    @property
    def classes(self) -> ClassTable:
        return self._classes

    @property
    def sequence_folder(self) -> Path:
        """Folder of the video frames of this split."""
        return self.root / self.images.replace("leftImg8bit", "leftImg8bit_sequence") / self.split

    @property
    def _ground_truth(self) -> str:
        return "gtCoarse" if self.split == "train_extra" else "gtFine"

    def derivations(self) -> dict[str, str]:
        return {"normals": "depth", "edges": "segmentation"}

    def available(self) -> tuple[str, ...]:
        found = []
        if (self.root / self._ground_truth / self.split).is_dir():
            found += ["segmentation", "edges"]
        if all((self.root / kind / self.split).is_dir() for kind in ("disparity", "camera")):
            found += ["depth", "normals"]
        if self.sequence_folder.is_dir():
            found.append("neighbours")
        return tuple(name for name in self.supported if name in found)

    def requirement(self, modality: str) -> str:
        if modality == "neighbours":
            return f"{self.sequence_folder} (leftImg8bit_sequence_trainvaltest.zip)"
        if modality in ("depth", "normals"):
            return f"disparity/{self.split} and camera/{self.split} in {self.root} (disparity_trainvaltest.zip, camera_trainvaltest.zip)"
        return (
            f"{self.root / self._ground_truth / self.split} ({self._ground_truth}_trainvaltest.zip)"
        )

    def index(self) -> list[Frame]:
        """Every image of the split's cities."""
        folder = self.root / self.images / self.split
        cities = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        has = self.available()
        has_camera = (self.root / "camera" / self.split).is_dir()
        frames = []
        for image in (p for city in cities for p in list_images(city)):
            name = image.stem.removesuffix("_leftImg8bit")
            if _NAME.match(name) is None:
                raise DataError(
                    f"{image} is not named city_sequence_frame_leftImg8bit; move it away"
                )
            frames.append(Frame(name, self._files(name, image, has, has_camera)))
        if not frames:
            raise self.wrong_root(f"images in {self.images}/{self.split}/<city>/")
        return frames

    def _files(
        self, name: str, image: Path, has: tuple[str, ...], has_camera: bool
    ) -> dict[str, Path]:
        city, files = image.parent.name, {"image": image}
        if "segmentation" in has:
            suffix = f"{name}_{self._ground_truth}_labelIds.png"
            files["segmentation"] = self.root / self._ground_truth / self.split / city / suffix
        if "depth" in has:
            files["depth"] = self.root / "disparity" / self.split / city / f"{name}_disparity.png"
        if has_camera:
            files["camera"] = self.root / "camera" / self.split / city / f"{name}_camera.json"
        return files

    def load(self, frame: Frame) -> Sample:
        """See `SceneDataset.load`; the label file is read once a sample."""
        self._last_ids = None
        return super().load(frame)

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, void 255."""
        path = frame.files["segmentation"]
        return self._fit(
            as_labels(lookups.apply_lookup(self._ids(frame), self._table, path)), frame
        )

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres: baseline * fx / disparity, 0 where stereo found nothing."""
        camera = read_camera(frame.files["camera"])
        stored = read_png(frame.files["depth"], bits=16)
        scale = 256 * camera["baseline"] * camera["fx"] * stored.shape[-1] / _FULL_WIDTH
        depth = stored.to(torch.float32)
        hidden = depth <= 1
        masked = self._masked_ids(frame)
        if masked:
            ids = self._ids(frame)
            if ids.shape != depth.shape[-2:]:
                raise self.wrong_size(frame, "segmentation", ids.shape, depth.shape[-2:])
            table = np.isin(np.arange(256), masked)
            hidden |= torch.from_numpy(table[ids])
        depth.sub_(1).reciprocal_().mul_(scale).masked_fill_(hidden, 0)
        return self._fit(depth, frame)

    def _ids(self, frame: Frame) -> np.ndarray:
        """Stored label ids; kept for the sample being loaded, whose labels and depth both need them."""
        path = frame.files["segmentation"]
        if self._last_ids is None or self._last_ids[0] != path:
            self._last_ids = path, read_ids(path)
        return self._last_ids[1]

    def _masked_ids(self, frame: Frame) -> tuple[int, ...]:
        default = self.protocol == "correct" and "segmentation" in frame.files
        sky = default if self._mask_sky is None else self._mask_sky
        ego = default if self._mask_ego is None else self._mask_ego
        if (sky or ego) and "segmentation" not in frame.files:
            raise DataError(
                f"masking sky or ego vehicle needs {self.requirement('segmentation')}; or switch it off"
            )
        return (labels.CITYSCAPES_SKY if sky else ()) + (labels.CITYSCAPES_EGO if ego else ())

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """The frame's own camera, scaled to the stored image; unknown without `camera/`."""
        if "camera" not in frame.files:
            return unknown_intrinsics()
        camera = read_camera(frame.files["camera"])
        matrix = intrinsics_matrix(camera["fx"], camera["fy"], camera["u0"], camera["v0"])
        return geometry.scale_intrinsics(matrix, size[1] / _FULL_WIDTH, size[0] / _FULL_HEIGHT)

    def neighbour(self, frame: Frame, offset: int) -> Path | None:
        """The video frame `offset` steps (1/17 s) away."""
        match = _NAME.match(frame.name)
        assert match is not None
        number = int(match["frame"]) + offset
        stem = f"{match['city']}_{match['sequence']}_{number:06d}_leftImg8bit"
        folder = self.sequence_folder / frame.files["image"].parent.name
        paths = (folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def _fit(self, value: Tensor, frame: Frame) -> Tensor:
        """Labels of full size shrunk to a pre-shrunk image; otherwise as stored."""
        if self.images == "leftImg8bit":
            return value
        size = image_size(frame.files["image"])
        if value.shape[-2] * size[1] != value.shape[-1] * size[0]:
            return value  # another aspect: the common size check names both files
        resize = resize_depth if value.dtype == torch.float32 else resize_nearest
        return resize(value, size)


def read_camera(path: Path) -> dict[str, float]:
    """Baseline (metres) and fx, fy, u0, v0 (pixels at 1024x2048) of a camera file.

    Raises:
        DataError: Missing, no JSON, or without one of the five numbers.
    """
    try:
        content = json.loads(read_text(path))
        values = {"baseline": content["extrinsic"]["baseline"]}
        values |= {key: content["intrinsic"][key] for key in ("fx", "fy", "u0", "v0")}
        numbers = {key: float(value) for key, value in values.items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a camera file ({type(error).__name__}: {error}); expected JSON with "
            "extrinsic.baseline and intrinsic.fx, fy, u0, v0"
        ) from error
    if not (numbers["baseline"] > 0 and numbers["fx"] > 0 and numbers["fy"] > 0):
        raise DataError(f"{path} has baseline or focal length not above 0: {numbers}")
    return numbers
