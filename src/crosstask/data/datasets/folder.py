"""`FolderDataset`: your own images and labels, one folder per modality."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from crosstask.data import lookups
from crosstask.data.axes import CONVENTIONS, to_camera_axes
from crosstask.data.channels import ENDING, Channels
from crosstask.data.dataset import SceneDataset
from crosstask.data.feeding import RGB, Feeding
from crosstask.data.files import as_labels, as_map, read_normals
from crosstask.data.folder.binary_maps import grey_remark, read_binary
from crosstask.data.folder.classes import IGNORED, Classes, declared_classes
from crosstask.data.folder.declaration import declared_options
from crosstask.data.folder.depth_maps import read_depth
from crosstask.data.folder.mask_detection import folder_rule
from crosstask.data.folder.masks import MaskRule
from crosstask.data.folder.remarks import camera_remark, depth_remark
from crosstask.data.folder.tree import FolderTree
from crosstask.data.folder.unread import Unread
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, unknown_intrinsics
from crosstask.geometry.camera_files import CameraFile, read_camera
from crosstask.geometry.lens import ray_lengths, undistort
from crosstask.media.orientation import INVERSE, upright
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.resample import resize_depth

# Options of how values are stored, which `folder.yaml` may give.
_USUAL: dict[str, Any] = {
    "masks": "auto", "void": lookups.VOID, "depth_scale": 1000.0, "depth_kind": "z", "axes": "camera",
    "undistort": True, "value_range": "auto", "channels": ",".join(RGB),
}  # fmt: skip


class FolderDataset(SceneDataset):
    """Images with whatever labels you have; an image without one of them is void there.

    How values are stored may also stand in `folder.yaml` of the folder (`depth_scale: 256`, one a
    line: masks, void, depth_scale, depth_kind, axes, undistort, value_range, channels); an option given here
    counts before it.

    Args:
        classes: Class table, names, number of classes, or None for `classes.txt` (one class a line:
            name, and red green blue if you like).
        masks: How `segmentation/` is stored: "ids", "ids_from_1" (0 is unlabelled), "colors" (those of
            classes.txt), "binary" (0 and 255 of two classes), or "auto" (usual), which looks; see `crosstask.data.folder.masks`.
        void: Stored id of unlabelled pixels; usually 255.
        depth_scale: Units a metre of depth stored as integers: 1000 (usual) for millimetres, 256 for
            KITTI's.
        depth_kind: "z" (usual) for distances along the optical axis, "ray" for distances from the
            camera, which needs its matrix.
        axes: Axes of stored normals; `camera` (usual) is ours: x right, y down, z forward.
        undistort: Whether the distortion coefficients of a camera file are applied, to image (bilinear)
            and labels (nearest); False where the images are rectified already.
        channels: What images consist of, see `crosstask.data.channels`: "red,green,blue" (usual);
            "thermal" and other names for one grey channel; "red,green,blue,depth" with depth of the
            sensor in `depth_input/`, "depth=0..5" for other metres than 0 to 10; bands of .npy files.
        validation: Share of the frames in `val` where `splits/` does not say.
        options: See `SceneDataset`.

    `normals` without a folder are computed from depth and camera, `edges` without one from the
    segmentation's boundaries.
    """

    source = "folder"
    deepest = 80.0
    supported = ("segmentation", "depth", "normals", "edges", "saliency")
    splits = ("train", "val", "test", "all")
    homepage = "your own disk"
    licence = "yours"
    tree = """
root/
  images/NAME.jpg         (or .png, .bmp, .webp, .tif; also in folders: images/train/NAME.jpg with
                          segmentation/train/NAME.png; train, val and test are splits then)
  segmentation/NAME.png   class index 0, 1, ... of 8 or 16 bits (255 unknown), the colours of
                          classes.txt, or 0 and 255 of two classes
  depth/NAME.npy          float metres, 0 unknown; integers (.npy, 16-bit .png) by `depth_scale`;
                          also .npz, .tif, .pfm, .h5, .exr
  normals/NAME.npy        (H, W, 3) unit vectors, 0 unknown (or 8-bit .png, 2 p / 255 - 1)
  edges/NAME.png          0 none, 255 edge, 127 unknown
  saliency/NAME.png       0 or 255
  depth_input/NAME.png    depth that the network sees, where `channels` names depth; NAME_input/ for others
  intrinsics.txt          fx fy cx cy in pixels (or 3x3, 3x4), or intrinsics/NAME.txt per image; also
                          camera_info.yaml (ROS), .json (RealSense, Open3D), cameras.txt (COLMAP)
  classes.txt             one class a line: name [red green blue]
  folder.yaml             how values are stored, where it is not as usual: `void: 11`, `depth_kind: ray`
  splits/train.txt, val.txt, test.txt   one NAME a line; a fixed random split without them
Only images/ must be there.
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        classes: Classes | None = None,
        masks: str | None = None,
        void: int | None = None,
        depth_scale: float | None = None,
        depth_kind: str | None = None,
        axes: str | None = None,
        undistort: bool | None = None,
        channels: str | Sequence[str] | None = None,
        validation: float = 0.2,
        **options: Any,
    ) -> None:
        values = options.pop("value_range", "auto")
        given = {
            "masks": masks, "void": void, "depth_scale": depth_scale, "depth_kind": depth_kind,
            "axes": axes, "undistort": undistort, "value_range": None if values == "auto" else values,
            "channels": channels,
        }  # fmt: skip
        said = declared_options(Path(root), _USUAL, given)
        self.depth_scale, self.axes, self.validation = said["depth_scale"], said["axes"], validation
        self.depth_kind, self.undistort = said["depth_kind"], said["undistort"]
        self._input = Channels.parse(said["channels"])
        self._tree = self._laid_out(Path(root), self._input)
        self._check_stored(Path(root))
        self._declared = declared_classes(classes, Path(root) / "classes.txt")
        value_range = said["value_range"]
        super().__init__(root, split, modalities, transform, value_range=value_range, **options)
        self._rule: MaskRule | None = None
        if "segmentation" in self.stored():
            self._rule = folder_rule(self._tree, self._declared, said["masks"], said["void"])

    def _laid_out(self, root: Path, channels: Channels) -> FolderTree:
        """Where its files are."""
        return FolderTree(root, channels)

    def _check_stored(self, root: Path) -> None:
        if (
            not 0 < self.depth_scale < float("inf")
            or self.axes not in CONVENTIONS
            or not 0 < self.validation < 1
        ):
            raise DataError(
                f"{root}: `depth_scale` is {self.depth_scale}, `axes` {self.axes!r}, `validation` "
                f"{self.validation}; expected a number above 0, one of {', '.join(CONVENTIONS)}, a "
                "share in (0, 1)"
            )
        if self.depth_kind not in ("z", "ray"):
            raise DataError(
                f"{root}: `depth_kind` is {self.depth_kind!r}; expected z (along the optical axis) or ray (from "
                "the camera)"
            )

    @property
    def unit(self) -> float | None:
        """Units a metre of depth stored as integers; None where that is unknown."""
        return float(self.depth_scale)

    @property
    def channels(self) -> tuple[str, ...]:
        return self._input.names

    def feeding(self) -> Feeding | None:
        """With the channels, and the values of those with files of their own."""
        found = super().feeding()
        if found is None:
            return None
        ranges = dict(self._input.ranges)
        return replace(
            found, channels=self._input.names, ranges=ranges, depth_scale=self.depth_scale
        )

    @property
    def classes(self) -> ClassTable | None:
        return None if self._declared is None else self._declared.table

    def derivations(self) -> dict[str, str]:
        pairs = {"normals": "depth", "edges": "segmentation"}
        return {n: o for n, o in pairs.items() if not self._tree.has(n)}

    def available(self) -> tuple[str, ...]:
        origin = self.derivations()
        names = [n for n in self.supported if self._tree.has(origin.get(n, n))]
        if "normals" in origin and not self._tree.has_camera:
            names = [n for n in names if n != "normals"]
        return tuple(names)

    def requirement(self, modality: str) -> str:
        extra = " (or depth/ and intrinsics.txt)" if modality == "normals" else ""
        return f"the folder {self._tree.place(modality)}{extra}"

    def index(self) -> list[Frame]:
        """Every image of `images/`, in the part that the split gives it."""
        files = self._tree.files()
        if not files:
            raise self.wrong_root("images/*.jpg or *.png")
        names = self._tree.split(sorted(files), self.split, self.validation, self.seed)
        return [Frame(name, files[name]) for name in names]

    def unread(self) -> list[Unread]:
        """Entries of the root that no name of the tree covers, and files of images/ that are none."""
        return self._tree.unread()

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) class index, void 255 (65535 of more than 254 classes)."""
        assert self._rule is not None
        return as_labels(self._rule.read(frame.files["segmentation"]))

    def load_image(self, frame: Frame) -> Tensor:
        """See `SceneDataset`; of a lens that bends lines as a pinhole camera sees it."""
        if self.channels == RGB:
            return self._straightened(frame, super().load_image(frame), None)
        others = {
            name: frame.files[f"{name}{ENDING}"]
            for name in self._input.ranges
            if f"{name}{ENDING}" in frame.files
        }
        path, values = frame.files["image"], self.value_range
        image = self._input.read(path, others, values, self.unit).pixels
        return self._straightened(frame, self._warned(image), None)

    def orientation(self, frame: Frame) -> int:
        """See `SceneDataset`; bands of data are never turned."""
        return super().orientation(frame) if self._input.is_photograph else 1

    def stored_target(self, frame: Frame, name: str, size: tuple[int, int]) -> Tensor:
        """See `SceneDataset`; straightened as the image is, distances along the optical axis."""
        value = super().stored_target(frame, name, size)
        if name not in frame.files:
            return value
        value = self._straightened(frame, value, self.targets[name].void)
        if name != "depth" or self.depth_kind == "z":
            return value
        matrix = self.upright_intrinsics(frame, size)
        if float(matrix[0, 0]) == 0:
            raise DataError(
                f"{frame.files[name]}: `depth_kind` is ray, which needs a camera; add intrinsics.txt"
            )
        return value / ray_lengths(matrix, size)

    def _lens(self, frame: Frame) -> CameraFile | None:
        """The frame's camera where its distortion is applied."""
        path = self._tree.camera(frame.name) if self.undistort else None
        camera = None if path is None else read_camera(path)
        return camera if camera is not None and camera.distortion else None

    def _straightened(self, frame: Frame, value: Tensor, void: float | None) -> Tensor:
        """An upright image or map without the lens's distortion."""
        camera = self._lens(frame)
        if camera is None:
            return value
        turned = self.orientation(frame)
        stored = upright(value, INVERSE.get(turned, turned))
        matrix = camera.for_image((int(stored.shape[-2]), int(stored.shape[-1])))
        return upright(undistort(stored, matrix, camera.distortion, void, str(camera.path)), turned)

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres by `depth_kind`, 0 where unknown."""
        return as_map(read_depth(frame.files["depth"], self.unit).metres)

    def fitted(self, name: str, value: Tensor, size: tuple[int, int]) -> Tensor:
        """Depth of fewer pixels and the same aspect is enlarged, planes as planes (see `resize_depth`)."""
        height, width = value.shape[-2:]
        smaller = height < size[0] and width < size[1]
        if name != "depth" or not smaller or abs(width * size[0] / (height * size[1]) - 1) > 0.01:
            return value
        return resize_depth(value, size)

    def load_normals(self, frame: Frame) -> Tensor:
        """(3,H,W) unit vectors, 0 where unknown."""
        return to_camera_axes(self.load_stored_normals(frame), self.axes)

    def load_stored_normals(self, frame: Frame) -> Tensor:
        """(3,H,W) as in the file, before the change of axes."""
        return read_normals(frame.files["normals"])

    def load_edges(self, frame: Frame) -> Tensor:
        """(1,H,W): 0, 1, void 255."""
        return as_map(read_binary(frame.files["edges"], unknown=True))

    def load_saliency(self, frame: Frame) -> Tensor:
        """(1,H,W): 0 or 1; void 255 where a float is not finite."""
        return as_map(read_binary(frame.files["saliency"], unknown=False))

    def read_as(self) -> dict[str, str]:
        """The rules of values that this folder's files are read by."""
        told = {}
        if self.channels != RGB:
            own = [
                f"{n} from {n}{ENDING}/, {a:g}..{b:g}" for n, (a, b) in self._input.ranges.items()
            ]
            told["image"] = "; ".join([f"channels {', '.join(self.channels)}", *own])
        if self._rule is not None:
            told["segmentation"] = str(self._rule)
            if self._declared is not None and self._declared.ignored:
                told["segmentation"] += f"; {IGNORED} of classes.txt is not a class"
        if "depth" in self.stored():
            told["depth"] = "floats in metres"
            if self.unit is not None:
                told["depth"] += f", integers {self.unit:g} a metre"
            if self.depth_kind == "ray":
                told["depth"] += ", distances from the camera (ray) brought to the optical axis"
        return told

    def remark(self, frame: Frame, name: str) -> str | None:
        """Grey values of edges and saliency, depth of another size or scale, a lens that bends."""
        if name == "intrinsics":
            camera, turned = self._tree.camera(frame.name), self.orientation(frame)
            image = frame.files["image"]
            return None if camera is None else camera_remark(camera, image, turned, self.undistort)
        path = frame.files.get(name)
        if path is None:
            return None
        if name == "depth":
            return depth_remark(path, frame.files["image"], self.unit)
        return grey_remark(path, name == "edges") if name in ("edges", "saliency") else None

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """`intrinsics/NAME.txt`, else the folder's camera file, else unknown; in pixels."""
        path = self._tree.camera(frame.name)
        return unknown_intrinsics() if path is None else read_camera(path).for_image(size)
