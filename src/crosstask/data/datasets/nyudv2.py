"""NYUDv2 (Silberman et al., ECCV 2012) in the multi-task packages: 1449 indoor RGB-D frames.

Two packages share their names but not their formats, and both are read: `NYUD_MT` (images .jpg,
normals and edge .npy) and `NYUDv2` (images, normals and edge .png); also the folder that
`crosstask data prepare nyudv2` writes from the official `nyu_depth_v2_labeled.mat`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from crosstask import geometry
from crosstask.data import labels, lookups
from crosstask.data.axes import CONVENTIONS, to_camera_axes
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import as_labels, as_map, read_ids, read_normals, read_npy
from crosstask.data.folder.binary_maps import grey_remark, read_binary
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, intrinsics_matrix
from crosstask.data.splits import read_split
from crosstask.tasks.classes import ClassTable

CAMERA = (518.8579, 519.46961, 325.58245, 253.73617)  # colour camera at 480x640
FULL, CROP = (480, 640), (45, 40, 425, 560)  # top, left, height, width of the packages' images
_FOLDERS = {
    "image": ("images", (".png", ".jpg")),
    "segmentation": ("segmentation", (".png",)),
    "depth": ("depth", (".npy",)),
    "normals": ("normals", (".npy", ".png")),
    "edges": ("edge", (".npy", ".png")),
}


class NYUDv2(SceneDataset):
    """Segmentation, depth, normals and edges; 795 training and 654 validation frames.

    Args:
        classes: 40 or 13.
        axes: Axis convention of the stored normals, see `crosstask.data.axes.CONVENTIONS`; both
            packages use `nyud`. `crosstask data check nyudv2` compares them with the depth.
        normals: `file`, `depth` (computed), or None: files where the folder is there.
        edges: `file`, `labels` (class boundaries), or None: files where the folder is there.
        smoothing: Pixels around over which depth is averaged for normals computed from it, because
            the sensor's depth has steps; 0 is none.
        margin: Void between objects that is at most this many pixels wide (the labels of the official
            file have such margins) takes the nearest label before edges are derived. Labels that
            are trained on and scored keep their void; 0 is none.
        options: See `SceneDataset`.
    """

    source = "nyudv2"
    supported = ("segmentation", "depth", "normals", "edges")
    official: ClassVar[Mapping[str, int]] = {"train": 795, "val": 654}
    homepage = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
    licence = "research use; packages NYUD_MT.tgz and NYUDv2.tar.gz from the ETH multi-task pages"
    tree = """
root/
  gt_sets/train.txt, val.txt        one frame name a line
  images/0003.jpg (or .png)
  segmentation/0003.png             0 void, 1..40
  depth/0003.npy                    metres, 0 unknown
  normals/0003.npy (or .png)        edge/0003.npy (or .png)
The official nyu_depth_v2_labeled.mat becomes such a folder with `crosstask data prepare nyudv2`.
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        classes: int = 40,
        axes: str = "nyud",
        normals: Literal["file", "depth"] | None = None,
        edges: Literal["file", "labels"] | None = None,
        smoothing: int = 2,
        margin: int = 5,
        **options: Any,
    ) -> None:
        self._classes, index = labels.choose(labels.NYU_TABLES, classes, "NYUDv2")
        self._table = lookups.lookup(index, range(41))
        if axes not in CONVENTIONS:
            raise DataError(f"`axes` is {axes!r}; expected {', '.join(CONVENTIONS)}")
        if normals not in (None, "file", "depth") or edges not in (None, "file", "labels"):
            raise DataError(
                f"`normals` is {normals!r} and `edges` {edges!r}; expected file|depth, file|labels"
            )
        self.axes, self.smoothing, self.margin = axes, smoothing, margin
        folder = Path(root)
        self._derive_normals = normals == "depth" or (
            normals is None and not (folder / "normals").is_dir()
        )
        self._derive_edges = edges == "labels" or (edges is None and not (folder / "edge").is_dir())
        super().__init__(root, split, modalities, transform, **options)

    @property
    def classes(self) -> ClassTable:
        return self._classes

    def derivations(self) -> dict[str, str]:
        derived = {"normals": "depth"} if self._derive_normals else {}
        return derived | ({"edges": "segmentation"} if self._derive_edges else {})

    def available(self) -> tuple[str, ...]:
        folders = {name for name, (folder, _) in _FOLDERS.items() if (self.root / folder).is_dir()}
        return tuple(n for n in self.supported if self.derivations().get(n, n) in folders)

    def read_as(self) -> dict[str, str]:
        """How edges come from labels."""
        if not self.joins_labels():
            return {}
        return {"edges": f"boundaries of labels, void up to {self.margin} pixels wide closed"}

    def requirement(self, modality: str) -> str:
        return f"the folder {self.root / _FOLDERS[self.derivations().get(modality, modality)][0]}"

    def index(self) -> list[Frame]:
        """The names of `gt_sets/<split>.txt`."""
        listing = self.root / "gt_sets" / f"{self.split}.txt"
        if not listing.is_file():
            raise self.wrong_root(f"gt_sets/{self.split}.txt")
        names = read_split(listing)
        suffixes = {kind: self._suffix(kind, names) for kind in _FOLDERS}
        return [Frame(n, self._files(n, suffixes), {"listing": listing}) for n in names]

    def _suffix(self, kind: str, names: list[str]) -> str | None:
        """Which of a kind's file formats this package uses; None without its folder."""
        folder, suffixes = _FOLDERS[kind]
        if not (self.root / folder).is_dir():
            if kind == "image":
                raise self.wrong_root(f"{folder}/")
            return None
        for suffix in suffixes:
            if any((self.root / folder / f"{name}{suffix}").is_file() for name in names[:50]):
                return suffix
        return suffixes[0]

    def _files(self, name: str, suffixes: Mapping[str, str | None]) -> dict[str, Path]:
        return {
            kind: self.root / _FOLDERS[kind][0] / f"{name}{suffix}"
            for kind, suffix in suffixes.items()
            if suffix is not None
        }

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, void 255 (stored 0)."""
        path = frame.files["segmentation"]
        return as_labels(lookups.apply_lookup(read_ids(path), self._table, path))

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres; holes and values that are not finite are 0."""
        path = frame.files["depth"]
        depth = read_npy(path)
        depth = depth[..., 0] if depth.ndim == 3 else depth
        if depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating):
            raise DataError(f"{path} is {depth.dtype}{depth.shape}; expected float metres (H, W)")
        known = np.isfinite(depth) & (depth > 0)
        return as_map(np.where(known, depth, 0))

    def load_normals(self, frame: Frame) -> Tensor:
        """(3,H,W) unit vectors in our axes, 0 where the file has none."""
        return to_camera_axes(self.load_stored_normals(frame), self.axes)

    def load_stored_normals(self, frame: Frame) -> Tensor:
        """(3,H,W) as in the file, before the change of axes."""
        return read_normals(frame.files["normals"])

    def load_edges(self, frame: Frame) -> Tensor:
        """(1,H,W): 1 on an edge; stored as 0/1 or 0/255."""
        return as_map(read_binary(frame.files["edges"], unknown=False))

    def remark(self, frame: Frame, name: str) -> str | None:
        """Grey values of stored edges."""
        stored = name == "edges" and name in frame.files
        return grey_remark(frame.files[name], unknown=False) if stored else None

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """The colour camera, shifted by the packages' crop and scaled to the stored image."""
        return camera_of(size)


def camera_of(size: tuple[int, int]) -> Tensor:
    """Camera of a NYU image: full frame (480x640 or its scale), otherwise the 425x560 crop."""
    matrix = intrinsics_matrix(*CAMERA)
    if size[0] * FULL[1] == size[1] * FULL[0]:
        return geometry.scale_intrinsics(matrix, size[1] / FULL[1], size[0] / FULL[0])
    top, left, height, width = CROP
    cropped = geometry.crop_intrinsics(matrix, top, left)
    return geometry.scale_intrinsics(cropped, size[1] / width, size[0] / height)
