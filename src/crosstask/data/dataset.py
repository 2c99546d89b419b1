"""`SceneDataset`: what all readers share.

A reader says where its files lie (`index`) and how one file becomes SI units with holes
(`load_image`, `load_intrinsics`, `load_<modality>`). This class does the rest: errors, subsets,
joint transforms, targets derived from others, far planes, partial labels.
"""

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from crosstask import geometry
from crosstask.data import splits as split_lists
from crosstask.data.derive import JOINED, close_margins, derive
from crosstask.data.feeding import Feeding
from crosstask.data.files import read_image
from crosstask.data.sample import (
    FIXED,
    SEQUENCE,
    DataError,
    WrongRoot,
    holds_map,
    stray,
    target_of,
    undeclared,
    unknown_intrinsics,
)
from crosstask.data.samples import Samples
from crosstask.data.tensor_types import unwrap, wrap
from crosstask.data.transforms import JointTransform, evaluation
from crosstask.data.unread import Unread
from crosstask.geometry.camera import check_camera
from crosstask.media.images import image_facts
from crosstask.media.label_range import BYTE_CLASSES, void_label
from crosstask.media.orientation import stored_size, swaps_sides
from crosstask.media.value_range import ValueRange, few_levels, parse_value_range, range_text
from crosstask.tasks.classes import ClassTable
from crosstask.tasks.segmentation import labels_target
from crosstask.tasks.target import Target, declared

Sample = dict[str, Any]
Transform = Callable[[Sample], Sample]


@dataclass(frozen=True)
class Frame:
    """One image of an index.

    Attributes:
        name: Identity within the dataset.
        files: Path by modality; a modality that is absent has no label for this frame, one that
            is listed must exist on disk.
        info: Whatever else the reader needs to load it.
    """

    name: str
    files: Mapping[str, Path]
    info: Mapping[str, Any] = field(default_factory=dict)


class SceneDataset(Samples, ABC):
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

    supported: ClassVar[tuple[str, ...]]
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    official: ClassVar[Mapping[str, int]] = {}
    tree: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    value_range: ValueRange | None = None  # of the images' stored values; None is the data type's
    deepest: float | None = (
        1000.0  # metres beyond which half of the depth is taken for a wrong unit
    )
    smoothing: int = 0  # pixels around, for normals from the depth of noisy sensors
    margin: int = 0  # pixels; thinner void between labels is closed before edges come from them

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
        self._told: set[str] = set()
        self.root, self.split, self.seed, self.far = Path(root), split, seed, far
        self.protocol, self.transform = protocol, transform
        self.offsets, self.missing_neighbours = tuple(offsets), missing_neighbours
        self._check_options()
        self.derived: dict[str, str] = dict(self.derivations())
        self.modalities = self._modalities(modalities)
        self._declared_targets: dict[str, Target] = {
            name: target_of(name) for name in self._read() if name not in SEQUENCE
        }
        if self.joins_labels():
            self._declared_targets[JOINED] = target_of("segmentation")
        self.frames = self._select(self.index(), subset, split_file)
        self._unlabelled = self._hidden(labelled)

    # What a reader fills in -------------------------------------------------------------------

    @abstractmethod
    def index(self) -> list[Frame]:
        """All frames of `self.split`, sorted; only names and paths, nothing is read."""

    @property
    def classes(self) -> ClassTable | None:
        """Class table of `segmentation`, where the dataset has one."""
        return None

    def derivations(self) -> Mapping[str, str]:
        """Targets computed after the transform: {"normals": "depth", "edges": "segmentation"}."""
        return {}

    def available(self) -> tuple[str, ...]:
        """Modalities that the files under `root` allow; asking for another is an error."""
        return self.supported

    def unread(self) -> list[Unread]:
        """Files and folders that the reader does not read; `data check` names them."""
        return []

    def read_as(self) -> Mapping[str, str]:
        """By modality: the rule by which stored values are read, where files leave a choice."""
        return {}

    def remark(self, frame: Frame, name: str) -> str | None:
        """What `data check` tells of a stored target that is unusual and no defect."""
        return None

    def requirement(self, modality: str) -> str:
        """What to fetch when `modality` is supported but not there."""
        return f"its files under {self.root}"

    def load_image(self, frame: Frame) -> Tensor:
        """(3,H,W) upright: uint8, or float32 in [0,1] where the file is deeper."""
        path = frame.files["image"]
        try:
            return self._warned(read_image(path, self.value_range))
        except DataError as error:
            if "listing" not in frame.info or path.is_file():
                raise
            raise DataError(
                f"{frame.info['listing']} names the frame {frame.name!r}, but {path} is "
                "missing; restore the image, or take the name out of the list"
            ) from error

    def load_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """(3,3) float32 in pixels of the image as stored (before EXIF turns it); `size` is its
        size; focal length 0 where unknown."""
        return unknown_intrinsics()

    def orientation(self, frame: Frame) -> int:
        """EXIF orientation by which `load_image` turns the stored image; 1 is not at all."""
        return image_facts(frame.files["image"]).orientation

    def upright_intrinsics(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        """(3,3): `load_intrinsics`, turned as the image was.

        Args:
            size: (height, width) of the upright image.
        """
        turned = self.orientation(frame)
        stored = stored_size(size, turned)
        matrix = self.load_intrinsics(frame, stored)
        if float(matrix[0, 0]) != 0:  # 0 stands for an unknown camera
            check_camera(matrix, f"the camera of {frame.name} ({self.root})", stored)
        return geometry.turn_intrinsics(matrix, turned, *stored)

    def neighbour(self, frame: Frame, offset: int) -> Path | None:
        """File of the frame `offset` steps away in time, None where there is none."""
        return None

    def load_pose(self, frame: Frame, offset: int) -> Tensor:
        """(4,4): maps points of this frame's camera to the neighbour's."""
        raise DataError(f"{self.source} has no poses")

    def official_size(self, split: str) -> int | None:
        """Frames that a split should have; None where that is unknown, or options change it."""
        return self.official.get(split)

    def load_stored_normals(self, frame: Frame) -> Tensor | None:
        """(3,H,W) normals as stored, before `axes` turns them; None where the axes are no question."""
        return None

    # Samples ----------------------------------------------------------------------------------

    @property
    def targets(self) -> dict[str, Target]:
        """What a sample's label maps are, by key."""
        found, classes = self._declared_targets, self.classes
        if classes is None or len(classes) <= BYTE_CLASSES or "segmentation" not in found:
            return found
        wide = labels_target(found["segmentation"], len(classes))
        return {**found, **{key: wide for key in ("segmentation", JOINED) if key in found}}

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

    def load(self, frame: Frame) -> Sample:
        """A frame at native size, upright, without transform; sources of derived targets too."""
        image = self.load_image(frame)
        size = (int(image.shape[-2]), int(image.shape[-1]))
        sample: Sample = {"image": image}
        for name in self.stored():
            if name == "neighbours":
                sample[name] = self._load_neighbours(frame, image)
            elif name == "poses":
                sample[name] = torch.stack([self._pose(frame, offset) for offset in self.offsets])
            else:
                sample[name] = self.load_target(frame, name, size)
        if self.joins_labels():
            void = int(self.targets["segmentation"].void)
            sample[JOINED] = close_margins(sample["segmentation"], self.margin, void)
        sample["intrinsics"] = self.upright_intrinsics(frame, size)
        return sample | {"name": frame.name, "source": self.source}

    def joins_labels(self) -> bool:
        """Whether edges come from labels whose thin void margins are closed first."""
        edges = "edges" in self.modalities and self.derived.get("edges") == "segmentation"
        return edges and self.margin > 0

    def load_target(self, frame: Frame, name: str, size: tuple[int, int]) -> Tensor:
        """One stored target of a frame at native size, void beyond `far`; all void without a file.

        Raises:
            DataError: The file is missing or damaged, or differs in size from the image.
        """
        return self.cut_far(name, self.stored_target(frame, name, size))

    def stored_target(self, frame: Frame, name: str, size: tuple[int, int]) -> Tensor:
        """`load_target` before what lies beyond `far` is void."""
        target = self.targets[name]
        if name not in frame.files:
            return target.void_map(size)
        value = getattr(self, f"load_{name}")(frame)  # the reader's own, by the target's name
        value = self.fitted(name, value, size)
        if tuple(value.shape[-2:]) != size:
            raise self.wrong_size(frame, name, value.shape[-2:], size)
        return value

    def cut_far(self, name: str, value: Tensor) -> Tensor:
        """A target, where it is a distance void beyond `far`; in place."""
        target = self.targets[name]
        if target.distance and self.far is not None and self.protocol == "correct":
            value.masked_fill_(value > self.far, target.void)
        return value

    def fitted(self, name: str, value: Tensor, size: tuple[int, int]) -> Tensor:
        """A stored target brought to the image's size, where a reader allows another."""
        return value

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
        other.frames = other._select(other.index(), None, None)
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

    # Helpers for readers ------------------------------------------------------------------------

    def wrong_root(self, looked_for: str | Path) -> WrongRoot:
        """The error for a root that is not this dataset."""
        state = "does not exist" if not self.root.exists() else f"has no {looked_for}"
        return WrongRoot(
            f"`root` is {self.root}, which {state}; expected the tree of {type(self).__name__}:\n"
            f"{self.tree.strip()}\nThe data is to be had at {self.homepage} ({self.licence})"
        )

    def wrong_size(
        self, frame: Frame, name: str, found: Sequence[int], size: Sequence[int]
    ) -> DataError:
        """The error for a label that does not fit its image."""
        text = (
            f"{frame.files.get(name, name)} is {found[0]}x{found[1]}, but {frame.files['image']} "
            f"is {size[0]}x{size[1]} (height x width); label and image must agree"
        )
        turned = self.orientation(frame)
        if swaps_sides(turned) and tuple(found) == stored_size((size[0], size[1]), turned):
            text += (
                f". The image has EXIF orientation {turned} and is turned upright when it is read; the "
                "label fits it as stored: turn the label too, or remove the orientation from the image"
            )
        return DataError(text)

    def _warned(self, image: Tensor) -> Tensor:
        """Warns, once, of an image that uses a small part of its range of values."""
        text = None if "levels" in self._told else few_levels(image, self.value_range)
        if text is not None:
            self._told.add("levels")
            warnings.warn(f"images of {self.root}: {text}", RuntimeWarning, stacklevel=2)
        return image

    def _load_neighbours(self, frame: Frame, image: Tensor) -> Tensor:
        neighbours = []
        for offset in self.offsets:
            path = self.neighbour(frame, offset)
            neighbour = image if path is None else read_image(path, self.value_range)
            if neighbour.shape != image.shape:
                raise DataError(
                    f"{path} is {tuple(neighbour.shape[-2:])}; its frame is {tuple(image.shape[-2:])}"
                )
            neighbours.append(neighbour)
        return torch.stack(neighbours)

    def _pose(self, frame: Frame, offset: int) -> Tensor:
        if self.neighbour(frame, offset) is None:
            return torch.eye(4)
        return self.load_pose(frame, offset)

    def stored(self) -> tuple[str, ...]:
        """What is read from files: the modalities, and the sources of derived ones."""
        loaded = [name for name in self.modalities if name not in self.derived]
        sources = [self.derived[name] for name in self.modalities if name in self.derived]
        return tuple(dict.fromkeys([*loaded, *sources]))

    def _read(self) -> tuple[str, ...]:
        """Every modality that a sample holds on its way: what is read, and what is derived."""
        return tuple(dict.fromkeys([*self.modalities, *self.stored()]))

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

    def _select(
        self, frames: list[Frame], subset: float | int | None, split_file: str | Path | None
    ) -> list[Frame]:
        frames = sorted(frames, key=lambda frame: frame.name)
        if split_file is not None:
            frames = pick(frames, split_lists.read_split(Path(split_file)), split_file)
        if "neighbours" in self.modalities and self.missing_neighbours == "drop":
            frames = [
                f for f in frames if all(self.neighbour(f, o) is not None for o in self.offsets)
            ]
        if not frames:
            raise self.wrong_root(f"frame of the split {self.split!r}")
        if subset is not None:
            chosen = split_lists.random_subset([f.name for f in frames], subset, self.seed)
            frames = pick(frames, chosen, "subset")
        return frames

    def _hidden(self, labelled: float | Mapping[str, float] | None) -> dict[str, frozenset[str]]:
        if labelled is None:
            return {}
        targets = [name for name in self.modalities if name in self._declared_targets]
        shares = labelled if isinstance(labelled, Mapping) else dict.fromkeys(targets, labelled)
        hidden = {}
        names = [frame.name for frame in self.frames]
        for name, share in shares.items():
            if name not in targets or not 0 <= share <= 1:
                raise DataError(
                    f"`labelled` has {name!r}: {share}; expected a share in [0, 1] of {targets}"
                )
            order = split_lists.hash_order(names, self.seed)
            hidden[name] = frozenset(order[int(share * len(order) + 0.5) :])
        return hidden


def pick(frames: Sequence[Frame], names: Sequence[str], where: str | Path) -> list[Frame]:
    """The frames with these names, in this order; a name without a frame is an error."""
    by_name = {frame.name: frame for frame in frames}
    for name in names:
        if name not in by_name:
            raise DataError(
                f"{where} names the frame {name!r}, which does not exist in the dataset "
                f"({len(by_name)} frames, such as {next(iter(by_name), 'none')!r})"
            )
    return [by_name[name] for name in names]


def as_map(array: np.ndarray) -> Tensor:
    """An (H,W) array as a (1,H,W) float32 map."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
