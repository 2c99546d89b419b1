"""PASCAL-Context in the multi-task package PASCAL_MT (Maninis et al., CVPR 2019).

4998 training and 5105 validation photographs with 21-class segmentation, human parts, saliency and
normals predicted by other networks ("distilled"), and semantic edges of the 459-class label maps.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data import labels, lookups
from crosstask.data.axes import CONVENTIONS, to_camera_axes
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import (
    as_labels,
    as_map,
    image_size,
    read_ids,
    read_mat,
    read_normals,
    read_png,
)
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, several
from crosstask.data.splits import read_split
from crosstask.tasks.classes import ClassTable

_PERSON = 15
_SEGMENTATION = lookups.lookup({i: i for i in range(21)}, known=[*range(21), 255])
_PARTS = {
    1: ("head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    2: ("torso", "neck"),
    3: ("luarm", "ruarm"),
    4: ("llarm", "lhand", "rlarm", "rhand"),
    5: ("luleg", "ruleg"),
    6: ("llleg", "lfoot", "rlleg", "rfoot"),
}
_PART_INDEX = {name: index for index, names in _PARTS.items() for name in names}


class PascalContext(SceneDataset):
    """Segmentation (21), human parts (6 and background), saliency, normals, edges; no camera.

    Args:
        axes: Axis convention of the normals (`crosstask.data.axes.CONVENTIONS`). There is no depth
            to check it against.
        normal_ids: Ids of the 459-class label map whose pixels keep their distilled normals; the
            literature keeps the classes that NYUDv2 also has, because the network that made them
            learned from NYUDv2. None keeps all.
        options: See `SceneDataset`. Human parts are void in images without an annotated person.
    """

    source = "pascal_context"
    supported = ("segmentation", "human_parts", "normals", "edges", "saliency")
    official: ClassVar[Mapping[str, int]] = {"train": 4998, "val": 5105}
    homepage = "https://data.vision.ee.ethz.ch/kmaninis/share/MTL/PASCAL_MT.tgz"
    licence = "PASCAL VOC and PASCAL-Context terms (flickr images), research use"
    tree = """
root/                                (PASCAL_MT)
  ImageSets/Context/train.txt, val.txt
  JPEGImages/2008_000002.jpg
  semseg/VOC12/2008_000002.png       (else semseg/pascal-context/2008_000002.png)
  human_parts/2008_000002.mat
  normals_distill/2008_000002.png    sal_distill/2008_000002.png
  pascal-context/trainval/2008_000002.mat   (LabelMap, for edges)
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        axes: str = "nyud",
        normal_ids: Collection[int] | int | None = None,
        **options: Any,
    ) -> None:
        if axes not in CONVENTIONS:
            raise DataError(f"`axes` is {axes!r}; expected {', '.join(CONVENTIONS)}")
        self.axes = axes
        self.normal_ids = None if normal_ids is None else sorted(several(normal_ids))
        super().__init__(root, split, modalities, transform, **options)

    @property
    def classes(self) -> ClassTable:
        return labels.PASCAL_21

    def _folders(self) -> dict[str, Path]:
        places = {
            "segmentation": self.root / "semseg",
            "human_parts": self.root / "human_parts",
            "saliency": self.root / "sal_distill",
            "normals": self.root / "normals_distill",
            "edges": self.root / "pascal-context" / "trainval",
        }
        return {name: folder for name, folder in places.items() if folder.is_dir()}

    def available(self) -> tuple[str, ...]:
        folders = self._folders()
        if self.normal_ids is not None and "edges" not in folders:
            folders.pop("normals", None)
        return tuple(name for name in self.supported if name in folders)

    def requirement(self, modality: str) -> str:
        return f"its folder under {self.root}; expected tree:\n{self.tree.strip()}"

    def index(self) -> list[Frame]:
        """The names of `ImageSets/Context/<split>.txt`."""
        listing = self.root / "ImageSets" / "Context" / f"{self.split}.txt"
        if not listing.is_file():
            raise self.wrong_root(f"ImageSets/Context/{self.split}.txt")
        folders = self._folders()
        return [
            Frame(name, self._files(name, folders), {"listing": listing})
            for name in read_split(listing)
        ]

    def _files(self, name: str, folders: Mapping[str, Path]) -> dict[str, Path]:
        suffixes = {"human_parts": ".mat", "saliency": ".png", "normals": ".png", "edges": ".mat"}
        files = {"image": self.root / "JPEGImages" / f"{name}.jpg"}
        files |= {k: folders[k] / f"{name}{s}" for k, s in suffixes.items() if k in folders}
        if "segmentation" in folders:
            first, second = (folders["segmentation"] / f for f in ("VOC12", "pascal-context"))
            path = first / f"{name}.png"
            files["segmentation"] = path if path.is_file() else second / f"{name}.png"
        return files

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, background 0, void 255."""
        path = frame.files["segmentation"]
        return as_labels(lookups.apply_lookup(read_ids(path), _SEGMENTATION, path))

    def load_human_parts(self, frame: Frame) -> Tensor:
        """(H,W) uint8: 0 background, 1 head to 6 lower leg; all void without a person."""
        path = frame.files["human_parts"]
        people = [o for o in read_objects(path) if int(o.class_ind) == _PERSON and np.size(o.parts)]
        if not people:
            return torch.full(image_size(frame.files["image"]), lookups.VOID, dtype=torch.uint8)
        parts = np.zeros(people[0].mask.shape, dtype=np.uint8)
        for person in people:
            for part in np.atleast_1d(person.parts):
                if part.part_name not in _PART_INDEX:
                    raise DataError(
                        f"{path} has the part {part.part_name!r}, which is not a human part"
                    )
                parts[np.asarray(part.mask, dtype=bool)] = _PART_INDEX[part.part_name]
        return as_labels(parts)

    def load_saliency(self, frame: Frame) -> Tensor:
        """(1,H,W): 1 where the distilled map is above 127."""
        return as_map(read_png(frame.files["saliency"], bits=8, channels=(1, 3))[0].numpy() > 127)

    def load_normals(self, frame: Frame) -> Tensor:
        """(3,H,W) unit vectors, 0 where unknown or outside `normal_ids`."""
        stored = read_normals(frame.files["normals"])
        if self.normal_ids is not None:
            kept = np.isin(read_label_map(frame.files["edges"]), self.normal_ids)
            if kept.shape != stored.shape[-2:]:
                raise self.wrong_size(frame, "normals", stored.shape[-2:], kept.shape)
            stored = stored * torch.from_numpy(kept)
        return to_camera_axes(stored, self.axes)

    def load_edges(self, frame: Frame) -> Tensor:
        """(1,H,W): the two pixels beside a boundary of the 459-class label map."""
        ids = torch.from_numpy(read_label_map(frame.files["edges"]).astype(np.int64))
        return geometry.edges_from_labels(ids, void=-1)


def read_label_map(path: Path) -> np.ndarray:
    """(H,W) ids of the 459 classes."""
    content = read_mat(path)
    if "LabelMap" not in content or content["LabelMap"].ndim != 2:
        raise DataError(f"{path} has no (H, W) array `LabelMap`; expected a PASCAL-Context file")
    return content["LabelMap"]


def read_objects(path: Path) -> list[Any]:
    """Annotated objects of a PASCAL-Part file: anno.objects(i).class_ind, .mask, .parts(j)."""
    content = read_mat(path)
    anno = content.get("anno")
    if anno is None or not hasattr(anno, "objects"):  # a MATLAB struct: fields are attributes
        raise DataError(
            f"{path} has no structure `anno` with `objects`; expected a PASCAL-Part file"
        )
    return list(np.atleast_1d(anno.objects)) if np.size(anno.objects) else []
