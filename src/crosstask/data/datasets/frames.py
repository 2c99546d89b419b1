"""`FrameFolder`: any folder of frames or video file as training sequences without labels."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from crosstask.data.dataset import SceneDataset, Transform
from crosstask.data.files import read_image
from crosstask.data.frame import Frame
from crosstask.data.sample import DataError
from crosstask.data.sequences import FrameSequence, check_alike, find_sequences, gaps
from crosstask.geometry.camera import camera_matrix
from crosstask.geometry.camera_files import read_camera
from crosstask.media.video import read_frames
from crosstask.tasks import declared


class FrameFolder(SceneDataset):
    """Frames of a moving camera: a folder of images, a folder of such folders, or a video file.

    Images are PNG or JPEG, colour or grey, in the order of the numbers in their names; where
    numbers are missing, the sequence is cut there, so that neighbours are always one step of time
    apart. A video (mp4, mkv, avi, mov, webm) is read through PyAV. There are no labels: any target
    that is asked for is all void, so that frames mix with labelled data.

    The camera is given once: as `intrinsics`, or in a text file ``intrinsics.txt`` with the four
    numbers ``fx fy cx cy`` in the folder, beside the video, or in a folder above up to `root`; in
    pixels of the stored images.

    Args:
        root: Folder or video file.
        split: "train", "val" (the last part of every sequence) or "all".
        modalities: "neighbours" and any targets (void).
        transform: See `SceneDataset`.
        intrinsics: (fx, fy, cx, cy), or a text file with these.
        validation: Share of every sequence that is its "val" part; neighbours never cross over.
        options: Of `SceneDataset`; `offsets` picks the neighbours in time.

    Raises:
        DataError: No frames, too few for the offsets, no intrinsics, frames of several sizes,
            colour and grey frames in one sequence.
        ValueError: A video that cannot be decoded.
    """

    source: str = "frames"
    supported: ClassVar[tuple[str, ...]] = (
        "segmentation",
        "human_parts",
        "depth",
        "normals",
        "edges",
        "saliency",
        "neighbours",
    )
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "all")
    tree: ClassVar[str] = (
        "root/000000.png, root/000001.png, ... and root/intrinsics.txt (fx fy cx cy)"
    )
    is_video: bool = True  # frames in temporal order
    homepage: ClassVar[str] = "your own camera"
    licence: ClassVar[str] = "yours"

    def __init__(
        self,
        root: str | Path,
        split: Literal["train", "val", "all"] = "train",
        modalities: Sequence[str] | None = ("neighbours",),
        transform: Transform | None = None,
        *,
        intrinsics: Sequence[float] | str | Path | None = None,
        validation: float = 0.2,
        **options: Any,
    ) -> None:
        if not 0.0 <= validation < 1.0:
            raise DataError(f"`validation` is {validation}; expected a share in [0, 1)")
        self.validation, self.camera = validation, intrinsics
        self._sequences: dict[str, FrameSequence] = {}
        self._cuts: dict[str, tuple[int, ...]] = {}
        super().__init__(
            root, split, ("neighbours",) if modalities is None else modalities, transform, **options
        )

    def available(self) -> tuple[str, ...]:
        """Every target that is declared, those of own tasks too: all void."""
        return (*self.supported, *(name for name in declared() if name not in self.supported))

    def index(self) -> list[Frame]:
        """Frames of all sequences that belong to the split; headers of images are read."""
        found = find_sequences(self.root)
        if not found:
            raise self.wrong_root("frames (png, jpg) or video file (mp4, mkv, avi, mov, webm)")
        frames: list[Frame] = []
        for sequence in found:
            self._sequences[sequence.name] = sequence
            if sequence.files:
                check_alike(sequence.files)
            frames += self._frames(sequence)
        self._check_neighbours(frames, found)
        for frame in frames[:1]:
            self.load_intrinsics(frame, (0, 0))
        return frames

    def load_image(self, frame: Frame) -> Tensor:
        """(3,H,W) uint8; a grey image has three equal channels."""
        return self._images(frame, [0])[0]

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """The given camera, or that of the nearest intrinsics.txt above the frame."""
        given = self.camera
        path = self._camera_file(frame) if given is None else given
        if isinstance(path, str | Path):
            camera = read_camera(Path(path))
            if camera.note and "lens" not in self._told:
                self._told.add("lens")
                warnings.warn(camera.note, RuntimeWarning, stacklevel=2)
            return camera.for_image(size) if size[0] else camera.matrix
        return camera_matrix(path)

    def orientation(self, frame: Frame) -> int:
        """That of the image, or of the video (its display matrix)."""
        of_video = self._sequences[frame.info["sequence"]].orientation
        return super().orientation(frame) if of_video is None else of_video

    def neighbour(self, frame: Frame, offset: int) -> Path | None:
        """The file that holds the frame `offset` steps away, None across a cut, a split or an end."""
        place = self._place(frame, offset)
        if place is None:
            return None
        files = self._sequences[frame.info["sequence"]].files
        return files[place] if files else frame.files["image"]

    def describe(self) -> dict[str, Any]:
        """Adds the sequences with their lengths and the number of cuts."""
        lengths = {name: len(sequence) for name, sequence in self._sequences.items()}
        cuts = sum(len(c) for c in self._cuts.values())
        return {
            **super().describe(),
            "sequences": lengths,
            "cuts": cuts,
            "offsets": list(self.offsets),
        }

    def _check_options(self) -> None:
        root = self.root
        if root.is_file():  # a video: the folder is what the common check looks at
            self.root = root.parent
        super()._check_options()
        self.root = root

    # ---- sequences ---------------------------------------------------------------------------

    def _frames(self, sequence: FrameSequence) -> list[Frame]:
        self._cuts[sequence.name] = gaps([p.stem for p in sequence.files])
        first_val = len(sequence) - round(self.validation * len(sequence))
        bounds = {
            "train": (0, first_val),
            "val": (first_val, len(sequence)),
            "all": (0, len(sequence)),
        }
        first, end = bounds[self.split]
        cuts = (first, *self._cuts[sequence.name], end)
        prefix = "" if sequence.name == "." else f"{sequence.name}/"
        frames = []
        for i in range(first, end):
            within = (max(c for c in cuts if c <= i), min(c for c in cuts if c > i))
            path = sequence.files[i] if sequence.files else self._video(sequence)
            name = prefix + (path.stem if sequence.files else f"{i:06d}")
            info = {"sequence": sequence.name, "index": i, "within": within}
            frames.append(Frame(name, {"image": path}, info))
        return frames

    def _check_neighbours(self, frames: list[Frame], found: list[FrameSequence]) -> None:
        if "neighbours" not in self.modalities or self.missing_neighbours != "drop":
            return
        if not any(all(self.neighbour(f, o) is not None for o in self.offsets) for f in frames):
            lengths = ", ".join(f"{s.name}: {len(s)}" for s in found[:5])
            span = max(*self.offsets, 0) - min(*self.offsets, 0) + 1
            raise DataError(
                f"{self.root} has no frame with neighbours at offsets {self.offsets} in its {self.split!r} part "
                f"(frames by sequence: {lengths}; share for validation: {self.validation}); expected at least "
                f'{span} frames in a row; give a longer sequence, another `validation`, or `split="all"`'
            )

    def _place(self, frame: Frame, offset: int) -> int | None:
        first, end = frame.info["within"]
        place = frame.info["index"] + offset
        return place if first <= place < end else None

    def _video(self, sequence: FrameSequence) -> Path:
        return self.root if self.root.is_file() else self.root / sequence.name

    # ---- images ----------------------------------------------------------------------------

    def _load_neighbours(self, frame: Frame, image: Tensor) -> Tensor:
        return torch.stack(self._images(frame, self.offsets))

    def _images(self, frame: Frame, offsets: Sequence[int]) -> list[Tensor]:
        """Images at these offsets; the frame itself stands in for a missing neighbour."""
        places = [self._place(frame, offset) for offset in offsets]
        indices = [frame.info["index"] if place is None else place for place in places]
        sequence = self._sequences[frame.info["sequence"]]
        if sequence.files:
            files = (sequence.files[i] for i in indices)
            return [self._warned(read_image(file, self.value_range)) for file in files]
        ordered = sorted(set(indices))
        images = read_frames(frame.files["image"], [sequence.times[i] for i in ordered])
        return [images[ordered.index(i)] for i in indices]

    def _camera_file(self, frame: Frame) -> Path:
        folder = frame.files["image"].parent
        top = self.root.parent if self.root.is_file() else self.root
        for candidate in (folder, *folder.parents):
            if (candidate / "intrinsics.txt").is_file():
                return candidate / "intrinsics.txt"
            if candidate == top:
                break
        raise DataError(
            f"{self.root} has no intrinsics: give `intrinsics` as fx,fy,cx,cy in pixels of the stored "
            "images, or write these four numbers into intrinsics.txt beside the frames. Unknown camera? "
            "A phone's main camera has about fx = fy = 0.8 x width, cx = width / 2, cy = height / 2"
        )
