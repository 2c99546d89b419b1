"""SYNTHIA (Ros et al., CVPR 2016): rendered city scenes with labels and exact depth.

Homepage: http://synthia-dataset.net. RAND-CITYSCAPES has 9400 independent frames 760x1280; the
SEQS subsets are videos with a shorter id table. Label PNG: 16 bits, three channels, class in the
first, instance in the second (Pillow reads zeros); re-distributed copies have one channel of 8
bits. Depth PNG: 16 bits, centimetres, in any of its channels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data import labels, lookups
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import as_labels, as_map, png_header, read_bytes, read_png
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, intrinsics_matrix
from crosstask.data.splits import block_split, random_split
from crosstask.tasks.classes import ClassTable

_CAMERA, _FULL = (532.740352, 532.740352, 640.0, 380.0), (760, 1280)
_TABLES: Mapping[int, ClassTable] = {16: labels.CITYSCAPES_16, 13: labels.CITYSCAPES_13}


class Synthia(SceneDataset):
    """Segmentation (16 or 13 Cityscapes classes), depth, normals from depth, edges from labels.

    There is no official split: `train` and `val` are a fixed 80/20 split of the names (the paper's
    proportions, 7520/1880), of whole blocks of 30 frames for `seqs`; `all` is everything.

    Args:
        variant: `rand` (RAND-CITYSCAPES) or `seqs`; their id tables differ.
        classes: 16 or 13.
        labels_folder: Folder under `GT`; None takes `LABELS`, or `parsed_LABELS` without it.
        options: See `SceneDataset`. Saturated depth (655.35 m: sky) is void unless `released`.
    """

    source = "synthia"
    supported = ("segmentation", "depth", "normals", "edges")
    splits = ("train", "val", "all")
    official: ClassVar[Mapping[str, int]] = {"train": 7520, "val": 1880, "all": 9400}
    homepage = "http://synthia-dataset.net/downloads (SYNTHIA-RAND-CITYSCAPES)"
    licence = "CC BY-NC-SA 3.0, non-commercial"
    tree = """
root/                                (RAND_CITYSCAPES)
  RGB/0000000.png
  GT/LABELS/0000000.png              16 bits, class in the first channel (or 8-bit copies)
  Depth/Depth/0000000.png            16 bits, centimetres (or Depth/0000000.png)
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        variant: Literal["rand", "seqs"] = "rand",
        classes: int = 16,
        labels_folder: str | None = None,
        **options: Any,
    ) -> None:
        if variant not in labels.SYNTHIA_VARIANTS:
            raise DataError(f"`variant` is {variant!r}; expected rand or seqs")
        self.variant = variant
        self._classes = labels.choose(_TABLES, classes, "SYNTHIA")
        self._table = _id_table(variant, self._classes)
        self._labels_folder = labels_folder
        super().__init__(_inner(Path(root)), split, modalities, transform, **options)

    @property
    def classes(self) -> ClassTable:
        return self._classes

    def derivations(self) -> dict[str, str]:
        return {"normals": "depth", "edges": "segmentation"}

    def _label_folder(self) -> Path | None:
        names = (self._labels_folder,) if self._labels_folder else ("LABELS", "parsed_LABELS")
        return next((p for n in names if (p := self.root / "GT" / n).is_dir()), None)

    def _depth_folder(self) -> Path | None:
        nested = self.root / "Depth" / "Depth"
        return next((p for p in (nested, self.root / "Depth") if p.is_dir()), None)

    def available(self) -> tuple[str, ...]:
        found = []
        if self._label_folder() is not None:
            found += ["segmentation", "edges"]
        if self._depth_folder() is not None:
            found += ["depth", "normals"]
        return tuple(name for name in self.supported if name in found)

    def requirement(self, modality: str) -> str:
        return f"{self.root}/{'Depth/Depth' if modality in ('depth', 'normals') else 'GT/LABELS'}"

    def official_size(self, split: str) -> int | None:
        return super().official_size(split) if self.variant == "rand" else None

    def index(self) -> list[Frame]:
        """Every PNG below `RGB`, in the part that the split gives it."""
        folder = self.root / "RGB"
        images = {
            p.relative_to(folder).with_suffix("").as_posix(): p for p in folder.rglob("*.png")
        }
        if not images:
            raise self.wrong_root("RGB/*.png")
        nested = next((name for name in images if "/" in name), None)
        if self.variant == "rand" and nested is not None:
            raise DataError(
                f"{images[nested]} lies in a folder of its own, as in the SEQS subsets, whose ids "
                "mean other classes; give `variant` seqs (`--option variant=seqs`)"
            )
        split = random_split if self.variant == "rand" else block_split
        train, val = split(images, 0.8, self.seed)
        names = {"train": train, "val": val, "all": train + val}[self.split]
        places = {"segmentation": self._label_folder(), "depth": self._depth_folder()}
        return [
            Frame(
                name,
                {"image": images[name]}
                | {kind: place / f"{name}.png" for kind, place in places.items() if place},
            )
            for name in names
        ]

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, void 255."""
        path = frame.files["segmentation"]
        return as_labels(lookups.apply_lookup(read_class_ids(path), self._table, path))

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres; 0 and the saturated 655.35 m are void."""
        stored = read_png(frame.files["depth"], bits=16, channels=(1, 2, 3, 4)).numpy()
        first = stored[0]
        return decode_centimetres(first if first.any() else stored[:3].max(axis=0), self.protocol)

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """The one camera of the renderer, scaled to the stored image."""
        matrix = intrinsics_matrix(*_CAMERA)
        return geometry.scale_intrinsics(matrix, size[1] / _FULL[1], size[0] / _FULL[0])


def decode_centimetres(stored: np.ndarray, protocol: str) -> Tensor:
    """(1,H,W) metres of 16-bit centimetres; 65535 (sky, too far) is void unless `released`."""
    metres = stored.astype(np.float32)
    metres /= 100
    if protocol == "correct":
        metres *= stored != 65535
    return as_map(metres)


def read_class_ids(path: Path) -> np.ndarray:
    """(H,W) stored class ids of a label PNG: 16-bit colour or grey, or an 8-bit grey copy.

    Raises:
        DataError: 8-bit colour: a copy that has lost the ids, or the colour rendering.
    """
    header = png_header(path, read_bytes(path))
    if header.bits > 8:
        return read_png(path, bits=16, channels=(1, 3, 4))[0].to(torch.int32).numpy()
    if header.channels > 1:
        raise DataError(
            f"{path} has 8 bits and {header.channels} channels; expected the 16-bit label PNG or an "
            "8-bit grey copy. It was saved again by a program that drops 16 bits, or is GT/COLOR"
        )
    return read_png(path, bits=8)[0].numpy()


def _id_table(variant: str, table: ClassTable) -> np.ndarray:
    ids, known, extra = labels.SYNTHIA_VARIANTS[variant]
    place = {name: index for index, name in enumerate(table.names)}
    index = {stored: place[name] for name, stored in ids.items() if name in place}
    index |= {stored: place[name] for stored, name in extra.items()}
    return lookups.lookup(index, known)


def _inner(root: Path) -> Path:
    """The folder itself, or the RAND_CITYSCAPES folder that the archive makes in it."""
    nested = root / "RAND_CITYSCAPES"
    return nested if nested.is_dir() and not (root / "RGB").is_dir() else root
