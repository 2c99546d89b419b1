"""`Reader`: what a dataset's own class says of its files.

A reader says where its files lie (`index`) and how one file becomes SI units with holes (`load_image`,
`load_intrinsics`, `load_<modality>`). `SceneDataset` does the rest.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from crosstask import geometry
from crosstask.data.files import read_image
from crosstask.data.folder.unread import Unread
from crosstask.data.frame import Frame
from crosstask.data.sample import (
    DataError,
    WrongRoot,
    unknown_intrinsics,
)
from crosstask.data.samples import Samples
from crosstask.geometry.camera import check_camera
from crosstask.media.images import image_facts
from crosstask.media.orientation import stored_size, swaps_sides
from crosstask.media.value_range import ValueRange, few_levels
from crosstask.tasks.classes import ClassTable


class Reader(Samples, ABC):
    """The part of a dataset that knows its files: `index` is a must, all else has a default.

    Attributes:
        supported: modalities that the dataset can have.
        splits: names of its splits.
        official: frames that each split should have.
        tree: its folders and files, for messages.
        homepage, licence: where it is to be had, and on which terms.
        value_range: stored values that are black and white; None is the range of the data type.
        deepest: metres beyond which half of the depth is taken for a wrong unit.
        smoothing: pixels around, for normals from the depth of noisy sensors.
        margin: pixels; thinner void between labels is closed before edges come from them.
        root, split: the folder, and the split of it that is read.
    """

    supported: ClassVar[tuple[str, ...]]
    splits: ClassVar[tuple[str, ...]] = ("train", "val")
    official: ClassVar[Mapping[str, int]] = {}
    tree: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    value_range: ValueRange | None = None
    deepest: float | None = 1000.0
    smoothing: int = 0
    margin: int = 0
    root: Path
    split: str
    _told: set[str]  # what the user was warned of

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

    def read_from(self) -> Mapping[str, str]:
        """By modality, `image` too: where its values lie, where that was found or chosen."""
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

    def wrong_root(self, looked_for: str | Path) -> WrongRoot:
        """The error for a root that is not this dataset."""
        state = "does not exist" if not self.root.exists() else f"has no {looked_for}"
        return WrongRoot(f"`root` is {self.root}, which {state}; {self.expected_tree()}")

    @classmethod
    def expected_tree(cls) -> str:
        """What should be there, and where it is to be had, for messages."""
        return (
            f"expected the tree of {cls.__name__}:\n"
            f"{cls.tree.strip()}\nThe data is to be had at {cls.homepage} ({cls.licence})"
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
