"""`FolderDataset`: your own images and labels, one folder per modality."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from crosstask.data import labels
from crosstask.data.axes import CONVENTIONS, to_camera_axes
from crosstask.data.binary_maps import SUFFIXES as BINARY_SUFFIXES
from crosstask.data.binary_maps import grey_remark, read_binary
from crosstask.data.channels import ENDING, Channels, plane_suffixes
from crosstask.data.dataset import Frame, SceneDataset, as_map
from crosstask.data.declaration import declared_options
from crosstask.data.depth_maps import SUFFIXES as DEPTH_SUFFIXES
from crosstask.data.depth_maps import read_depth
from crosstask.data.feeding import RGB, Feeding
from crosstask.data.files import as_labels, image_size, list_images, read_normals
from crosstask.data.masks import IGNORED, MaskRule, declared_classes, find_rule
from crosstask.data.masks import SUFFIXES as MASK_SUFFIXES
from crosstask.data.sample import DataError, unknown_intrinsics
from crosstask.data.splits import random_split, read_split
from crosstask.data.unread import Unread, unread_entries
from crosstask.geometry.camera import off_the_middle
from crosstask.geometry.camera_files import NAMES as CAMERA_NAMES
from crosstask.geometry.camera_files import SUFFIXES as CAMERA_SUFFIXES
from crosstask.geometry.camera_files import CameraFile, read_camera
from crosstask.geometry.lens import ray_lengths, undistort
from crosstask.media.label_range import void_label
from crosstask.media.listing import files_in
from crosstask.media.orientation import INVERSE, stored_size, upright
from crosstask.tasks.classes import ClassTable

_SUFFIXES = {
    "segmentation": MASK_SUFFIXES,
    "depth": DEPTH_SUFFIXES,
    "normals": (".npy", ".png"),
    "edges": BINARY_SUFFIXES,
    "saliency": BINARY_SUFFIXES,
}


# Options of how values are stored, which `folder.yaml` may give.
_USUAL: dict[str, Any] = {
    "masks": "auto", "void": labels.VOID, "depth_scale": 1000.0, "depth_kind": "z", "axes": "camera",
    "undistort": True, "value_range": "auto", "channels": ",".join(RGB),
}  # fmt: skip
_PARTS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class FolderDataset(SceneDataset):
    """Images with whatever labels you have; an image without one of them is void there.

    How values are stored may also stand in `folder.yaml` of the folder (`depth_scale: 256`, one a
    line: masks, void, depth_scale, depth_kind, axes, undistort, value_range, channels); an option given here
    counts before it.

    Args:
        classes: Class table, number of classes, or None for `classes.txt` (one class a line:
            name, and red green blue if you like).
        masks: How `segmentation/` is stored: "ids", "colors" (those of classes.txt), "binary" (0 and
            255 of two classes), or "auto" (usual), which looks; see `crosstask.data.masks`.
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
  folder.yaml             how values are stored, where it is not as usual: `void: 0`, `depth_kind: ray`
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
        classes: int | ClassTable | None = None,
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
        self._check_stored(Path(root))
        self._declared = declared_classes(classes, Path(root) / "classes.txt")
        value_range = said["value_range"]
        super().__init__(root, split, modalities, transform, value_range=value_range, **options)
        self._rule = None
        if "segmentation" in self.stored():
            self._rule = self._mask_rule(said["masks"], said["void"])

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

    def _mask_rule(self, masks: str, void: int) -> MaskRule:
        listing = self.root / "classes.txt"
        if self._declared is None:
            raise DataError(
                f"`classes` is None and {listing} does not exist; segmentation needs one of them"
            )
        table = self._declared.table
        if len(table) == 1:
            raise DataError(
                f"{listing} has one class, {table.names[0]!r}; expected two or more: a network of one "
                "class is right everywhere. Give the rest a class of its own (`background` first, "
                f"then `{table.names[0]}`; masks of 0 and 255 are read as these two), or put the masks "
                "into saliency/"
            )
        void = void if void != labels.VOID else void_label(len(table))  # 255 may be a class
        folder = self.root / "segmentation"
        files = [path for path in files_in(folder, nested=True) if path.is_file()]
        try:
            return find_rule(files, table, self._declared.colored, masks, void)
        except DataError as error:
            if str(self.root) in str(error):
                raise
            raise DataError(f"{folder}: {error}") from error

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
        return {n: o for n, o in pairs.items() if not (self.root / n).is_dir()}

    def available(self) -> tuple[str, ...]:
        origin = self.derivations()
        names = [n for n in self.supported if (self.root / origin.get(n, n)).is_dir()]
        if "normals" in origin and not self._has_camera():
            names = [n for n in names if n != "normals"]
        return tuple(names)

    def requirement(self, modality: str) -> str:
        extra = " (or depth/ and intrinsics.txt)" if modality == "normals" else ""
        return f"the folder {self.root / modality}{extra}"

    def _has_camera(self) -> bool:
        return self._shared_camera() is not None or (self.root / "intrinsics").is_dir()

    def _shared_camera(self) -> Path | None:
        paths = [self.root / name for name in CAMERA_NAMES]
        return next((path for path in paths if path.is_file()), None)

    def index(self) -> list[Frame]:
        """Every image of `images/`, in the part that the split gives it."""
        images = list_images(self.root / "images", self._input.suffixes, nested=True)
        if not images:
            raise self.wrong_root("images/*.jpg or *.png")
        by_name: dict[str, Path] = {}
        for path in images:
            other = by_name.setdefault(self._name("images", path), path)
            if other != path:
                raise DataError(
                    f"{path} and {other.name} have one name with two suffixes; rename or remove one"
                )
        files = {name: {"image": path} for name, path in by_name.items()}
        for kind, suffixes in _SUFFIXES.items():
            self._add_labels(kind, suffixes, files)
        for name in self._input.ranges:
            self._add_labels(f"{name}{ENDING}", plane_suffixes(name), files)
        return [Frame(name, files[name]) for name in self._names(sorted(by_name))]

    def _add_labels(
        self, kind: str, suffixes: tuple[str, ...], files: dict[str, dict[str, Path]]
    ) -> None:
        folder = self.root / kind
        if not folder.is_dir():
            return
        for path in files_in(folder, nested=True):
            if path.suffix.lower() not in suffixes:
                raise DataError(
                    f"{path} has the suffix {path.suffix!r}; expected {' or '.join(suffixes)}"
                )
            name = self._name(kind, path)
            if name not in files:
                raise DataError(
                    f"{path} has no image images/{name}.png or .jpg; add it, or move the label away"
                )
            files[name].setdefault(kind, path)

    def _name(self, kind: str, path: Path) -> str:
        """A file's path within the folder of its kind, without the suffix."""
        return path.relative_to(self.root / kind).with_suffix("").as_posix()

    def unread(self) -> list[Unread]:
        """Entries of the root that no name of the tree covers, and files of images/ that are none."""
        images = [
            Unread(path, "is not an image")
            for path in files_in(self.root / "images", nested=True)
            if path.suffix.lower() not in self._input.suffixes
        ]
        own = [f"{name}{ENDING}" for name in self._input.ranges]
        return [u for u in unread_entries(self.root) if u.path.name not in own] + images

    def _names(self, names: Sequence[str]) -> Sequence[str]:
        if self.split == "all":
            return names
        parts = self._parts(names)
        if parts is not None:
            return parts.get(self.split, ())
        listing = self.root / "splits" / f"{self.split}.txt"
        if listing.is_file():
            chosen, known = read_split(listing), set(names)
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise DataError(
                    f"{listing} names the frame {unknown[0]!r}, which is not in images/; "
                    "add the image, or take the name out of the list"
                )
            return chosen
        if self.split == "test" or listing.parent.is_dir():
            raise DataError(f"split {self.split!r} needs {listing}")
        train, val = random_split(names, 1 - self.validation, self.seed)
        return train if self.split == "train" else val

    def _parts(self, names: Sequence[str]) -> dict[str, Sequence[str]] | None:
        """Frames by split where images/train/, images/val/ ... say it; None where they do not."""
        if (self.root / "splits").is_dir():
            return None
        parts: dict[str, Sequence[str]] = {}
        for name in names:
            top = _PARTS.get(name.split("/")[0].lower(), "") if "/" in name else ""
            parts[top] = [*parts.get(top, ()), name]
        if "train" not in parts:
            return None
        if "" in parts:
            raise DataError(
                f"{self.root / 'images'} has {parts[''][0]!r} outside of its folders for train, val "
                "and test; move it into one of them, or write splits/train.txt and splits/val.txt"
            )
        if "val" not in parts:
            train, val = random_split(parts["train"], 1 - self.validation, self.seed)
            parts |= {"train": train, "val": val}
        return parts

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
        image = self._input.read(path, others, values, self.depth_scale).pixels
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
        path = self._camera_file(frame) if self.undistort else None
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
        return upright(undistort(stored, matrix, camera.distortion, void), turned)

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres by `depth_kind`, 0 where unknown."""
        return as_map(read_depth(frame.files["depth"], self.depth_scale).metres)

    def fitted(self, name: str, value: Tensor, size: tuple[int, int]) -> Tensor:
        """Depth of fewer pixels and the same aspect is enlarged: each pixel takes the nearest one."""
        height, width = value.shape[-2:]
        smaller = height < size[0] and width < size[1]
        if name != "depth" or not smaller or abs(width * size[0] / (height * size[1]) - 1) > 0.01:
            return value
        return F.interpolate(value[None], size=size, mode="nearest-exact")[0]

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
            told["depth"] = f"floats in metres, integers {self.depth_scale:g} a metre"
            if self.depth_kind == "ray":
                told["depth"] += ", distances from the camera (ray) brought to the optical axis"
        return told

    def remark(self, frame: Frame, name: str) -> str | None:
        """Grey values of edges and saliency, depth of another size or scale, a lens that bends."""
        if name == "intrinsics":
            return self._camera_remark(frame)
        if name == "depth" and name in frame.files:
            return self._depth_remark(frame)
        if name in ("edges", "saliency") and name in frame.files:
            return grey_remark(frame.files[name], name == "edges")
        return None

    def _depth_remark(self, frame: Frame) -> str | None:
        path = frame.files["depth"]
        stored = read_depth(path, self.depth_scale)
        size, found = image_size(frame.files["image"]), stored.metres.shape
        texts = [stored.note] if stored.note else []
        if found != size:
            texts.append(
                f"it is {found[0]}x{found[1]} and enlarged to its image's {size[0]}x{size[1]}, each "
                "pixel from the nearest one"
            )
        return f"{path}: {'; '.join(texts)}" if texts else None

    def _camera_remark(self, frame: Frame) -> str | None:
        path = self._camera_file(frame)
        if path is None:
            return None
        camera, size = read_camera(path), image_size(frame.files["image"])
        stored = stored_size(size, self.orientation(frame))
        texts = [camera.note] if camera.note else []
        if texts and self.undistort:
            texts = [
                f"{path} has the distortion {camera.coefficients}: image (bilinear) and labels (nearest) "
                "are undistorted; `undistort: false` in folder.yaml where they are already"
            ]
        if camera.size not in (None, stored):
            texts.append(f"{path} is of {camera.size} (height, width) and scaled to {stored}")
        if off_the_middle(camera.for_image(stored), stored):
            texts.append(
                f"the principal point of {path} lies far off the middle, alike in both directions: is "
                "it the camera of another resolution?"
            )
        return "; ".join(texts) or None

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """`intrinsics/NAME.txt`, else the folder's camera file, else unknown; in pixels."""
        path = self._camera_file(frame)
        return unknown_intrinsics() if path is None else read_camera(path).for_image(size)

    def _camera_file(self, frame: Frame) -> Path | None:
        folder = self.root / "intrinsics"
        if not folder.is_dir():
            return self._shared_camera()
        paths = [folder / f"{frame.name}{suffix}" for suffix in CAMERA_SUFFIXES]
        return next((path for path in paths if path.is_file()), paths[0])
