"""7-Scenes (Shotton et al., CVPR 2013): RGB-D video of rooms, with camera poses.

Homepage: https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes. Depth PNG: 16
bits, millimetres, 0 and 65535 are holes. Colour and depth are not perfectly registered.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data.dataset import SceneDataset
from crosstask.data.files import IMAGE_SUFFIXES, as_map, read_numbers, read_png, read_text
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError, intrinsics_matrix

_FULL = (480, 640)
_COLOUR = re.compile(r"frame-(\d{6})\.color$")


class SevenScenes(SceneDataset):
    """Depth, normals from depth, neighbours and poses.

    A flat folder of frames is split by time: the last share is `val`, and `gap` frames between the
    parts are left out. A scene folder with `seq-01`, ... and `TrainSplit.txt`, `TestSplit.txt` has
    `train` (without the last share of every sequence, which is `val`) and `test`.

    Args:
        validation: Share of the time line that is `val`.
        gap: Frames left out between `train` and `val`.
        smoothing: Pixels around over which depth is averaged for normals computed from it, because
            the sensor's depth has steps; 0 is none.
        options: See `SceneDataset`; `offsets` count frames of the folder.
    """

    source = "sevenscenes"
    supported = ("depth", "normals", "neighbours", "poses")
    splits = ("train", "val", "test", "all")
    homepage = "https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes"
    licence = "Microsoft research licence, non-commercial"
    tree = """
root/                             (a folder of frames, or a scene with seq-01/, ... and TrainSplit.txt)
  frame-000000.color.png          (or .jpg)
  frame-000000.depth.png          16 bits, millimetres
  frame-000000.pose.txt           4x4, camera to world
  camera-intrinsics.txt           3x3; 585 585 320 240 without it
"""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Any = None,
        transform: Any = None,
        *,
        validation: float = 0.2,
        gap: int = 4,
        smoothing: int = 2,
        **options: Any,
    ) -> None:
        if not 0 < validation < 1 or gap < 0:
            raise DataError(f"`validation` is {validation}, `gap` {gap}; expected (0, 1) and >= 0")
        self.validation, self.gap, self.smoothing = validation, gap, smoothing
        super().__init__(root, split, modalities, transform, **options)

    def derivations(self) -> dict[str, str]:
        return {"normals": "depth"}

    def index(self) -> list[Frame]:
        """Frames in order of time, cut by time."""
        frames: list[Frame] = []
        for folder in self._sequences():
            found = self._frames(folder)
            if found and len(found) <= self.gap + 1 and self.split in ("train", "val"):
                raise DataError(f"{folder} has {len(found)} frames; too few to split with a gap")
            frames += self._part(found)
        if not frames:
            raise self.wrong_root("frame-000000.color.png")
        return frames

    def _part(self, frames: list[Frame]) -> list[Frame]:
        if self.split in ("all", "test"):
            return frames
        cut = len(frames) - max(1, round(self.validation * len(frames)))
        return frames[cut:] if self.split == "val" else frames[: max(1, cut - self.gap)]

    def _sequences(self) -> list[Path]:
        folders = sorted(p for p in self.root.glob("seq-*") if p.is_dir())
        if not folders:
            if self.split == "test":
                raise DataError(f"{self.root} is one sequence; it has train, val and all, no test")
            return [self.root]
        if self.split == "all":
            return folders
        listing = self.root / ("TestSplit.txt" if self.split == "test" else "TrainSplit.txt")
        if not listing.is_file():
            raise self.wrong_root(listing.name)
        numbers = [int(n) for n in re.findall(r"\d+", read_text(listing))]
        return [self.root / f"seq-{number:02d}" for number in numbers]

    def _frames(self, folder: Path) -> list[Frame]:
        images = [
            p
            for p in sorted(folder.glob("frame-*"))
            if p.suffix.lower() in IMAGE_SUFFIXES and _COLOUR.match(p.stem)
        ]
        frames = []
        for place, image in enumerate(images):
            stem = image.stem.removesuffix(".color")
            files = {"image": image, "depth": folder / f"{stem}.depth.png"}
            name = stem if folder == self.root else f"{folder.name}/{stem}"
            frames.append(Frame(name, files, {"time": images, "place": place}))
        return frames

    def load_depth(self, frame: Frame) -> Tensor:
        """(1,H,W) metres, 0 in holes."""
        stored = read_png(frame.files["depth"], bits=16)[0].numpy()
        return as_map(np.where(stored == 65535, 0, stored / np.float32(1000)))

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """`camera-intrinsics.txt` beside the frames or above them, else the depth camera's 585 px."""
        for folder in (frame.files["image"].parent, self.root):
            path = folder / "camera-intrinsics.txt"
            if path.is_file():
                matrix = torch.tensor(read_numbers(path, 9)).view(3, 3)
                break
        else:
            matrix = intrinsics_matrix(585.0, 585.0, 320.0, 240.0)
        return geometry.scale_intrinsics(matrix, size[1] / _FULL[1], size[0] / _FULL[0])

    def neighbour(self, frame: Frame, offset: int) -> Path | None:
        place = frame.info["place"] + offset
        images = frame.info["time"]
        return images[place] if 0 <= place < len(images) else None

    def load_pose(self, frame: Frame, offset: int) -> Tensor:
        """(4,4): points of this camera to the neighbour's, from the two camera-to-world files."""
        here = _pose(frame.files["image"])
        there = self.neighbour(frame, offset)
        assert there is not None
        return (torch.linalg.inv(_pose(there)) @ here).to(torch.float32)


def _pose(image: Path) -> Tensor:
    path = image.with_name(image.stem.removesuffix(".color") + ".pose.txt")
    return torch.tensor(read_numbers(path, 16), dtype=torch.float64).view(4, 4)
