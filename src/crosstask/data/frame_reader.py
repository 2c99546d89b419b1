"""`FrameReader`: one frame, from its files to a sample at its native size."""

import torch
from torch import Tensor

from crosstask.data.derive import JOINED, close_margins
from crosstask.data.files import read_image
from crosstask.data.frame import Frame
from crosstask.data.reader import Reader
from crosstask.data.sample import (
    DataError,
    Sample,
)
from crosstask.media.label_range import BYTE_CLASSES
from crosstask.tasks.segmentation import labels_target
from crosstask.tasks.target import Target


class FrameReader(Reader):
    """Reads the modalities that are asked for, and the sources of those that are derived.

    Attributes:
        derived: targets that are computed after the transform, and from what.
        far: depth beyond this many metres is void under the `correct` protocol.
        offsets: frame offsets of `neighbours` and `poses`.
    """

    derived: dict[str, str]
    far: float | None
    protocol: str
    offsets: tuple[int, ...]
    _declared_targets: dict[str, Target]

    @property
    def targets(self) -> dict[str, Target]:
        """What a sample's label maps are, by key."""
        found, classes = self._declared_targets, self.classes
        if classes is None or len(classes) <= BYTE_CLASSES or "segmentation" not in found:
            return found
        wide = labels_target(found["segmentation"], len(classes))
        return {**found, **{key: wide for key in ("segmentation", JOINED) if key in found}}

    def stored(self) -> tuple[str, ...]:
        """What is read from files: the modalities, and the sources of derived ones."""
        loaded = [name for name in self.modalities if name not in self.derived]
        sources = [self.derived[name] for name in self.modalities if name in self.derived]
        return tuple(dict.fromkeys([*loaded, *sources]))

    def _read(self) -> tuple[str, ...]:
        """Every modality that a sample holds on its way: what is read, and what is derived."""
        return tuple(dict.fromkeys([*self.modalities, *self.stored()]))

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
