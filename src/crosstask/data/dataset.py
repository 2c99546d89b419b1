"""`SceneDataset`: what all readers share.

What a dataset's own class says of its files is in `crosstask.data.reader`, how a frame is read in
`crosstask.data.frame_reader`. This class has the options of all datasets, chooses the frames, and brings
what was read through transforms and derivations to a sample.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from crosstask.data import splits as split_lists
from crosstask.data.derive import JOINED, derive
from crosstask.data.feeding import Feeding
from crosstask.data.frame import Frame, hidden_labels, pick, subset_of
from crosstask.data.frame_reader import FrameReader
from crosstask.data.sample import (
    FIXED,
    SEQUENCE,
    DataError,
    Sample,
    holds_map,
    stray,
    target_of,
    undeclared,
)
from crosstask.data.transforms import JointTransform, evaluation
from crosstask.data.transforms.tensor_types import unwrap, wrap
from crosstask.media.images import image_facts
from crosstask.media.label_range import void_label
from crosstask.media.value_range import parse_value_range, range_text
from crosstask.tasks.target import declared

Transform = Callable[[Sample], Sample]


class SceneDataset(FrameReader):
    """Images of scenes with some of the declared targets (see `crosstask.tasks.target`).

    `targets` holds what was declared under each key that is read, looked up once, at construction;
    labels of more than 254 classes have the void of so many.

    Args:
        root: Folder of the dataset.
        split: One of the class's `splits`.
        modalities: Targets to load (and `neighbours`, `poses` for sequences); None loads every
            target that the files at hand allow.
        transform: Function from sample to sample, see `crosstask.data.transforms`. It gets tensors
            that know how to move, so any transform of torchvision v2 does.
        subset: Use only this many frames (int) or this share of them (float), chosen by `seed`.
        labelled: Share of the frames that keep their labels, by modality or for all; the others
            are void (semi-supervised and partial-label experiments).
        seed: Decides splits, subsets and labelled shares, and nothing else.
        far: Depth beyond this many metres is void under the `correct` protocol.
        protocol: `correct`, or `released` where far pixels and sentinel values stay in.
        split_file: Text file with one frame name a line, instead of the dataset's own split.
        offsets: Frame offsets of `neighbours`.
        missing_neighbours: `drop` frames without all neighbours, or `repeat` the frame itself.
        value_range: Stored values of images that are black and white, such as "0..4095" of a
            12-bit camera; `auto` is the range of the data type. It travels with a trained model.

    Raises:
        DataError: Wrong root, unknown split, a modality that the dataset can never have, or one
            that no task declares; a map in a sample that no task declares.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        modalities: Sequence[str] | None = None,
        transform: Transform | None = None,
        *,
        subset: float | int | None = None,
        labelled: float | Mapping[str, float] | None = None,
        seed: int = 0,
        far: float | None = None,
        protocol: Literal["correct", "released"] = "correct",
        split_file: str | Path | None = None,
        offsets: Sequence[int] = (-1, 1),
        missing_neighbours: Literal["drop", "repeat"] = "drop",
        value_range: str | Sequence[float] = "auto",
    ) -> None:
        self.value_range = parse_value_range(value_range)
        self._told = set()
        self.root, self.split, self.seed, self.far = Path(root), split, seed, far
        self.protocol, self.transform = protocol, transform
        self.offsets, self.missing_neighbours = tuple(offsets), missing_neighbours
        self._check_options()
        self.derived = dict(self.derivations())
        self.modalities = self._modalities(modalities)
        self._declared_targets = {
            name: target_of(name) for name in self._read() if name not in SEQUENCE
        }
        if self.joins_labels():
            self._declared_targets[JOINED] = target_of("segmentation")
        self.frames = list(subset_of(self._indexed(split_file), subset, seed))
        labels = [name for name in self.modalities if name in self._declared_targets]
        self._unlabelled = hidden_labels(self.frames, labelled, labels, seed)

    # Samples ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} frames")
        return self.finish(self.load(self.frames[index]))

    def frame_name(self, index: int) -> str:
        """Name of a sample, without reading it."""
        return self.frames[index].name

    def feeding(self) -> Feeding | None:
        """That of the transform, where it is one of `crosstask.data.transforms`."""
        return self.transform.feeding if isinstance(self.transform, JointTransform) else None

    def stored_size(self, index: int) -> tuple[int, int] | None:
        """Height and width of an image as it is read (upright), from its header alone."""
        path = self.frames[index].files.get("image")
        try:
            facts = None if path is None else image_facts(path)
        except DataError:  # a video; or damaged, which is told when it is read
            return None
        return None if facts is None else (facts.height, facts.width)

    def finish(self, sample: Sample) -> Sample:
        """Transform, derive, hide: from `load` to what `__getitem__` returns."""
        if self.transform is not None:
            # Any function may be a transform; those of this package also take bytes, and are faster.
            if not getattr(self.transform, "takes_bytes", False):
                sample = self._to_float(sample)
            sample = unwrap(self.transform(wrap(sample, known=self.targets)))
        derived = {k: v for k, v in self.derived.items() if k in self.modalities}
        void = 255 if self.classes is None else void_label(len(self.classes))
        sample = derive(sample, derived, self.smoothing, void)
        sample.pop("zoom", None)
        sample = self._to_float(sample)  # labels are bytes until here
        for name in self.modalities:
            if sample["name"] in self._unlabelled.get(name, frozenset()):
                height, width = sample[name].shape[-2:]
                sample[name] = self.targets[name].void_map((height, width))
        return self._wanted(sample)

    def _wanted(self, sample: Sample) -> Sample:
        """Without the sources of derived targets; whatever else a reader adds must be no map."""
        asked = ("image", *self.modalities, "intrinsics")
        result = {}
        for name, value in sample.items():
            if name not in asked:
                if name in FIXED or name in declared() or name in self.targets:
                    continue
                if holds_map(value):
                    raise stray(sample, name)
            result[name] = value
        return result

    def _to_float(self, sample: Sample) -> Sample:
        """Images as [0, 1], label maps in their declared data type."""
        sample = dict(sample)
        for name in ("image", "neighbours"):
            if name in sample and sample[name].dtype == torch.uint8:
                # In place: large copies are slow.
                sample[name] = sample[name].to(torch.float32).div_(255)
        for name, target in self.targets.items():
            if name in sample:
                sample[name] = sample[name].to(target.dtype)
        return sample

    def of_split(self, split: str) -> "SceneDataset":
        """The same reader with the same options on another split; targets it lacks are void.

        A `split_file`, `subset` or `labelled` share is of this split alone and not taken along.
        """
        other = copy.copy(self)
        other.split = split
        other._check_options()
        other.frames = other._indexed()
        other._unlabelled = {}
        return other

    def without(self, names: Collection[str]) -> "SceneDataset":
        other = copy.copy(self)
        other.frames = [frame for frame in self.frames if frame.name not in names]
        return other

    def use_native_size(self) -> None:
        self.transform = evaluation(None)

    def describe(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "split": self.split,
            "size": len(self),
            "hash": split_lists.digest(frame.name for frame in self.frames),
            "modalities": list(self.modalities),
            "classes": None if self.classes is None else len(self.classes.names),
            "protocol": self.protocol,
            "far": self.far,
            "value_range": range_text(self.value_range),
        }

    def write_split(self, path: str | Path) -> str:
        """Write the names of the frames as a split file that `split_file` reads; returns its hash."""
        return split_lists.write_split(Path(path), [frame.name for frame in self.frames])

    # Construction -------------------------------------------------------------------------------

    def _check_options(self) -> None:
        if self.split not in self.splits:
            raise DataError(
                f"`split` is {self.split!r}; {type(self).__name__} has {', '.join(self.splits)}"
            )
        if self.protocol not in ("correct", "released"):
            raise DataError(f"`protocol` is {self.protocol!r}; expected correct or released")
        if self.missing_neighbours not in ("drop", "repeat"):
            raise DataError(
                f"`missing_neighbours` is {self.missing_neighbours!r}; expected drop or repeat"
            )
        if self.far is not None and self.far <= 0:
            raise DataError(f"`far` is {self.far}; expected metres above 0, or None")
        self._check_root()

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise self.wrong_root("")

    def _modalities(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        if isinstance(wanted, str):
            raise DataError(f"`modalities` is the string {wanted!r}; expected a sequence of names")
        for name in wanted or ():
            if name not in declared() and name not in SEQUENCE:
                raise DataError(f"`modalities` has {name!r}, {undeclared(name)}")
            if name not in self.supported and name not in self.available():
                raise DataError(
                    f"`modalities` has {name!r}, which {type(self).__name__} can never have; "
                    f"it offers {', '.join(self.supported)}"
                )
        available = self.available()
        if wanted is None:
            return tuple(name for name in available if name not in SEQUENCE)
        for name in wanted:
            if name not in available:
                raise DataError(f"`modalities` has {name!r}; that needs {self.requirement(name)}")
        return tuple(dict.fromkeys(wanted))

    def _indexed(self, split_file: str | Path | None = None) -> list[Frame]:
        """The frames of the split, or of a file, that have the neighbours they must have."""
        frames = sorted(self.index(), key=lambda frame: frame.name)
        if split_file is not None:
            frames = pick(frames, split_lists.read_split(Path(split_file)), split_file)
        if "neighbours" in self.modalities and self.missing_neighbours == "drop":
            frames = [
                f for f in frames if all(self.neighbour(f, o) is not None for o in self.offsets)
            ]
        if not frames:
            raise self.wrong_root(f"frame of the split {self.split!r}")
        return frames
