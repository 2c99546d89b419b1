"""Virtual KITTI 2.0.3 (Cabon et al. 2020): five rendered driving scenes in ten variations.

Homepage: https://europe.naverlabs.com/proxy-virtual-worlds-vkitti-2. Depth PNG: 16 bits,
centimetres, 65535 (655.35 m) is sky. Class PNG: 8-bit colour, exact palette. The archives may be
merged into one tree or lie side by side in `root`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from crosstask.data import labels
from crosstask.data.dataset import SceneDataset
from crosstask.data.datasets.synthia import decode_centimetres
from crosstask.data.files import as_labels, list_images, read_png, read_text
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, WrongRoot, intrinsics_matrix, several
from crosstask.data.splits import block_split, group_split, random_split
from crosstask.tasks.classes import ClassTable

SCENES = ("Scene01", "Scene02", "Scene06", "Scene18", "Scene20")
VARIATIONS = (
    "15-deg-left", "15-deg-right", "30-deg-left", "30-deg-right", "clone",
    "fog", "morning", "overcast", "rain", "sunset",
)  # fmt: skip
_BASELINE = 0.532725  # metres between Camera_0 (left) and Camera_1
_KINDS = {"image": ("rgb", "rgb", ".jpg"), "depth": ("depth", "depth", ".png"), "segmentation": ("classSegmentation", "classgt", ".png")}  # fmt: skip


class VirtualKITTI2(SceneDataset):
    """Segmentation (14 or 8 classes), depth, normals, edges, neighbours and poses.

    The defaults are the paper's subset: variation 15-deg-left, camera 0, 2126 frames split 80/20 by
    frame (1700/426). Neighbouring video frames are nearly equal, so that split flatters; `block`
    and `scene` do not. All variations and cameras of one moment always stay on one side.

    Args:
        classes: 14 or 8.
        variations: Some of `VARIATIONS`, or "all".
        cameras: 0 (left) and/or 1 (right).
        split_by: `frame`, `block` (30 consecutive frames stay together) or `scene`.
        held_out: Scenes of `val` when splitting by scene.
        options: See `SceneDataset`. 655.35 m (sky) is void unless the protocol is `released`.
    """

    source = "vkitti2"
    supported = ("segmentation", "depth", "normals", "edges", "neighbours", "poses")
    splits = ("train", "val", "all")
    official: ClassVar[Mapping[str, int]] = {"train": 1700, "val": 426, "all": 2126}
    homepage = "https://europe.naverlabs.com/proxy-virtual-worlds-vkitti-2"
    licence = "CC BY-NC-SA 3.0, non-commercial"
    tree = """
root/                                 (archives merged; or one folder per archive, side by side)
  Scene01/15-deg-left/
    frames/rgb/Camera_0/rgb_00000.jpg
    frames/depth/Camera_0/depth_00000.png
    frames/classSegmentation/Camera_0/classgt_00000.png
    intrinsic.txt  extrinsic.txt      (textgt)
  Scene02/ Scene06/ Scene18/ Scene20/
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        classes: int = 14,
        variations: Sequence[str] | Literal["all"] = ("15-deg-left",),
        cameras: Sequence[int] | int = (0,),
        split_by: Literal["frame", "block", "scene"] = "frame",
        held_out: Sequence[str] = ("Scene01",),
        **options: Any,
    ) -> None:
        self._classes, _ = labels.choose(labels.VKITTI2_TABLES, classes, "Virtual KITTI 2")
        self._palette = labels.vkitti2_palette(classes)
        self.variations = VARIATIONS if variations == "all" else several(variations)
        self.cameras, self.split_by, self.held_out = several(cameras), split_by, several(held_out)
        for name, values, allowed in (
            ("variations", self.variations, VARIATIONS),
            ("cameras", self.cameras, (0, 1)),
            ("split_by", (split_by,), ("frame", "block", "scene")),
        ):
            if not values or any(value not in allowed for value in values):
                raise DataError(f"`{name}` is {values}; expected some of {allowed}")
        self._bases = {kind: _base(Path(root), entry[0]) for kind, entry in _KINDS.items()}
        self._text = _text_base(Path(root))
        self._tables: dict[Path, Mapping[tuple[int, int], tuple[float, ...]]] = {}
        super().__init__(root, split, modalities, transform, **options)

    @property
    def classes(self) -> ClassTable:
        return self._classes

    def derivations(self) -> dict[str, str]:
        return {"normals": "depth", "edges": "segmentation"}

    def available(self) -> tuple[str, ...]:
        found = ["neighbours"]
        if self._bases["segmentation"] is not None:
            found += ["segmentation", "edges"]
        if self._bases["depth"] is not None:
            found += ["depth", "normals"]
        if self._text is not None:
            found.append("poses")
        return tuple(name for name in self.supported if name in found)

    def requirement(self, modality: str) -> str:
        archive = {"depth": "depth", "normals": "depth", "poses": "textgt"}.get(
            modality, "classSegmentation"
        )
        return f"the archive vkitti_2.0.3_{archive} under {self.root}"

    def official_size(self, split: str) -> int | None:
        paper = (("15-deg-left",), (0,), "frame")
        given = (self.variations, self.cameras, self.split_by)
        return super().official_size(split) if given == paper else None

    def index(self) -> list[Frame]:
        """Frames of the chosen variations and cameras that the split assigns."""
        base = self._bases["image"]
        if base is None:
            raise self.wrong_root("Scene*/<variation>/frames/rgb")
        frames = [
            frame
            for scene in sorted(p.name for p in base.glob("Scene*") if p.is_dir())
            for variation in self.variations
            for camera in self.cameras
            for frame in self._sequence(base, scene, variation, camera)
        ]
        if not frames:
            raise self._other_variations(base)
        moments = sorted({frame.info["moment"] for frame in frames})
        if self.split_by == "scene":
            train, val = group_split(moments, lambda m: m.split("/")[0], self.held_out)
        else:
            divide = random_split if self.split_by == "frame" else block_split
            train, val = divide(moments, 0.8, self.seed)
        chosen = set({"train": train, "val": val, "all": moments}[self.split])
        return [frame for frame in frames if frame.info["moment"] in chosen]

    def _other_variations(self, base: Path) -> WrongRoot:
        """The error for a folder with frames, of other variations or cameras."""
        folders = sorted(base.glob("Scene*/*/frames/rgb/Camera_*"))
        found = {path.parents[2].name: None for path in folders}
        cameras = sorted({int(path.name.removeprefix("Camera_")) for path in folders})
        asked = f"{', '.join(self.variations)} (cameras {', '.join(map(str, self.cameras))})"
        if not found:
            return self.wrong_root(f"frames of {asked}")
        return WrongRoot(
            f"`root` is {self.root}, which has no frames of {asked}; found: {', '.join(found)} "
            f"(cameras {', '.join(map(str, cameras))}); give `variations` or `cameras`, on the command "
            f"line `--option variations={next(iter(found))}`"
        )

    def _sequence(self, base: Path, scene: str, variation: str, camera: int) -> list[Frame]:
        images = list_images(base / scene / variation / "frames" / "rgb" / f"Camera_{camera}")
        frames = []
        for image in images:
            number = re.fullmatch(r"rgb_(\d{5})", image.stem)
            if number is None:
                raise DataError(f"{image} is not named rgb_00000; move it away")
            where = {
                "scene": scene,
                "variation": variation,
                "camera": camera,
                "number": int(number[1]),
            }
            files = {kind: self._path(kind, where) for kind in _KINDS if self._bases[kind]}
            name = f"{scene}/{variation}/Camera_{camera}/{number[1]}"
            frames.append(Frame(name, files, where | {"moment": f"{scene}/{number[1]}"}))
        return frames

    def _path(self, kind: str, where: Mapping[str, Any]) -> Path:
        folder, prefix, suffix = _KINDS[kind]
        base = self._bases[kind]
        assert base is not None
        sequence = base / where["scene"] / where["variation"] / "frames" / folder
        return sequence / f"Camera_{where['camera']}" / f"{prefix}_{where['number']:05d}{suffix}"

    def load_segmentation(self, frame: Frame) -> Tensor:
        """(H,W) uint8 class index, void 255, by an exact palette."""
        path = frame.files["segmentation"]
        red, green, blue = read_png(path, bits=8, channels=(3, 4))[:3].numpy()
        return as_labels(self._palette(red, green, blue, path))

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres; the sky's 655.35 m is void."""
        return decode_centimetres(read_png(frame.files["depth"], bits=16)[0].numpy(), self.protocol)

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """The frame's row of `intrinsic.txt`; without the archive, the dataset's one camera."""
        if self._text is None:
            return intrinsics_matrix(725.0087, 725.0087, 620.5, 187.0)
        row = self._row(frame, "intrinsic.txt", 4, frame.info["camera"], 0)
        return intrinsics_matrix(*row)

    def neighbour(self, frame: Frame, offset: int) -> Path | None:
        path = self._path("image", {**frame.info, "number": frame.info["number"] + offset})
        return path if frame.info["number"] + offset >= 0 and path.is_file() else None

    def load_pose(self, frame: Frame, offset: int) -> Tensor:
        """(4,4): points of this camera to the camera `offset` frames later."""
        here, there = self._extrinsics(frame, 0), self._extrinsics(frame, offset)
        return (there @ torch.linalg.inv(here)).to(torch.float32)

    def _extrinsics(self, frame: Frame, offset: int) -> Tensor:
        """World to camera. The right camera decides which way the file is meant: it lies to the right."""
        both = [self._matrix(frame, camera, offset) for camera in (0, 1)]
        step = (both[1] @ torch.linalg.inv(both[0]))[:3, 3]
        expected = torch.tensor([-_BASELINE, 0.0, 0.0], dtype=torch.float64)
        own = both[frame.info["camera"]]
        if torch.allclose(step, expected, atol=0.02):
            return own
        inverse = (torch.linalg.inv(both[1]) @ both[0])[:3, 3]
        if torch.allclose(inverse, expected, atol=0.02):
            return torch.linalg.inv(own)
        raise DataError(
            f"{self._text_file(frame, 'extrinsic.txt')}: the right camera is not {_BASELINE} m to the "
            f"right of the left one in frame {frame.info['number'] + offset}; the file is damaged"
        )

    def _matrix(self, frame: Frame, camera: int, offset: int) -> Tensor:
        values = self._row(frame, "extrinsic.txt", 16, camera, offset)
        return torch.tensor(values, dtype=torch.float64).view(4, 4)

    def _text_file(self, frame: Frame, name: str) -> Path:
        assert self._text is not None
        return self._text / frame.info["scene"] / frame.info["variation"] / name

    def _row(
        self, frame: Frame, name: str, count: int, camera: int, offset: int
    ) -> tuple[float, ...]:
        path = self._text_file(frame, name)
        number = frame.info["number"] + offset
        rows = self._tables.get(path) or self._tables.setdefault(path, read_table(path, count))
        if (number, camera) not in rows:
            raise DataError(f"{path} has no row for frame {number}, camera {camera}")
        return rows[number, camera]


def read_table(path: Path, count: int) -> Mapping[tuple[int, int], tuple[float, ...]]:
    """Rows `frame camera v1 .. v_count` under one header line."""
    rows = {}
    for line in read_text(path).splitlines()[1:]:
        words = line.split()
        if not words:
            continue
        try:
            values = tuple(float(word) for word in words[2:])
            key = int(words[0]), int(words[1])
        except (ValueError, IndexError) as error:
            raise DataError(f"{path} has a malformed line {line!r}") from error
        if len(values) != count:
            raise DataError(f"{path} has {len(values)} numbers in {line!r}; expected {count}")
        rows[key] = values
    return rows


def _candidates(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [
        root,
        *sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("Scene")),
    ]


def _base(root: Path, folder: str) -> Path | None:
    """The tree (merged root, or one archive's folder in it) that holds frames of this kind."""
    places = _candidates(root)
    return next((p for p in places if any(p.glob(f"Scene*/*/frames/{folder}"))), None)


def _text_base(root: Path) -> Path | None:
    return next((p for p in _candidates(root) if any(p.glob("Scene*/*/intrinsic.txt"))), None)
