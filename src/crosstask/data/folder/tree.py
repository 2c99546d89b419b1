"""Where the files of a folder lie: images, labels by kind, cameras, and the split that each frame is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crosstask.data.channels import ENDING, Channels, plane_suffixes
from crosstask.data.folder.binary_maps import SUFFIXES as BINARY_SUFFIXES
from crosstask.data.folder.depth_maps import SUFFIXES as DEPTH_SUFFIXES
from crosstask.data.folder.masks import SUFFIXES as MASK_SUFFIXES
from crosstask.data.folder.unread import Unread, unread_entries
from crosstask.data.sample import DataError
from crosstask.data.splits import random_split, read_split
from crosstask.geometry.camera_files import NAMES as CAMERA_NAMES
from crosstask.geometry.camera_files import SUFFIXES as CAMERA_SUFFIXES
from crosstask.media.listing import files_in, list_images

_SUFFIXES = {
    "segmentation": MASK_SUFFIXES,
    "depth": DEPTH_SUFFIXES,
    "normals": (".npy", ".png"),
    "edges": BINARY_SUFFIXES,
    "saliency": BINARY_SUFFIXES,
}
_PARTS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
Files = dict[str, dict[str, Path]]  # by frame and kind


@dataclass(frozen=True)
class FolderTree:
    """The files of a folder dataset; nothing is read.

    Args:
        root: of the dataset.
        channels: what its images consist of.
    """

    root: Path
    channels: Channels

    def files(self) -> Files:
        """The image of every frame and the labels that it has; empty without images.

        Raises:
            DataError: two images of one name, a label of another suffix, or a label without image.
        """
        by_name: dict[str, Path] = {}
        for path in list_images(self.root / "images", self.channels.suffixes, nested=True):
            other = by_name.setdefault(self._name("images", path), path)
            if other != path:
                raise DataError(
                    f"{path} and {other.name} have one name with two suffixes; rename or remove one"
                )
        files = {name: {"image": path} for name, path in by_name.items()}
        if files:
            for kind, suffixes in _SUFFIXES.items():
                self._add_labels(kind, suffixes, files)
            for name in self.channels.ranges:
                self._add_labels(f"{name}{ENDING}", plane_suffixes(name), files)
        return files

    def _add_labels(self, kind: str, suffixes: tuple[str, ...], files: Files) -> None:
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

    def has(self, kind: str) -> bool:
        """Whether there are files of a kind at all."""
        return (self.root / kind).is_dir()

    def place(self, kind: str) -> str:
        """Where files of a kind lie, or would, for messages."""
        return str(self.root / kind)

    def masks(self) -> list[Path]:
        """All label images."""
        return [p for p in files_in(self.root / "segmentation", nested=True) if p.is_file()]

    @property
    def naming_classes(self) -> str:
        """How classes are given their names, for messages."""
        return f"write {self.root / 'classes.txt'}, one a line, or give `classes`"

    def unread(self) -> list[Unread]:
        """Entries of the root that no name of the tree covers, and files of images/ that are none."""
        images = [
            Unread(path, "is not an image")
            for path in files_in(self.root / "images", nested=True)
            if path.suffix.lower() not in self.channels.suffixes
        ]
        own = [f"{name}{ENDING}" for name in self.channels.ranges]
        return [u for u in unread_entries(self.root) if u.path.name not in own] + images

    def split(
        self, names: Sequence[str], split: str, validation: float, seed: int
    ) -> Sequence[str]:
        """The frames of a split: by folders of images/, by `splits/`, or drawn.

        Args:
            names: of all frames, sorted.
            validation: share of the frames in `val` where they are drawn.
            seed: of the draw.
        """
        if split == "all":
            return names
        parts = self._parts(names, validation, seed)
        if parts is not None:
            return parts.get(split, ())
        listing = self.root / "splits" / f"{split}.txt"
        if listing.is_file():
            chosen, known = read_split(listing), set(names)
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise DataError(
                    f"{listing} names the frame {unknown[0]!r}, which is not in images/; "
                    "add the image, or take the name out of the list"
                )
            return chosen
        if split == "test" or listing.parent.is_dir():
            raise DataError(f"split {split!r} needs {listing}")
        train, val = random_split(names, 1 - validation, seed)
        return train if split == "train" else val

    def _parts(
        self, names: Sequence[str], validation: float, seed: int
    ) -> dict[str, Sequence[str]] | None:
        """Frames by split where images/train/, images/val/ ... say it; None where they do not."""
        if (self.root / "splits").is_dir():
            return None
        parts = by_part(names)
        if "train" not in parts:
            return None
        if "" in parts:
            raise DataError(
                f"{self.root / 'images'} has {parts[''][0]!r} outside of its folders for train, val "
                "and test; move it into one of them, or write splits/train.txt and splits/val.txt"
            )
        if "val" not in parts:
            train, val = random_split(parts["train"], 1 - validation, seed)
            parts |= {"train": train, "val": val}
        return parts

    @property
    def has_camera(self) -> bool:
        """Whether there is a camera file for all frames, or a folder of them."""
        return self._shared_camera() is not None or (self.root / "intrinsics").is_dir()

    def _shared_camera(self) -> Path | None:
        paths = [self.root / name for name in CAMERA_NAMES]
        return next((path for path in paths if path.is_file()), None)

    def camera(self, name: str) -> Path | None:
        """`intrinsics/NAME.txt` of a frame, else the folder's camera file, else None."""
        folder = self.root / "intrinsics"
        if not folder.is_dir():
            return self._shared_camera()
        paths = [folder / f"{name}{suffix}" for suffix in CAMERA_SUFFIXES]
        return next((path for path in paths if path.is_file()), paths[0])


def part_of(folder: str) -> str:
    """`train`, `val` or `test` of a folder's name, "" of another one."""
    return _PARTS.get(folder.lower(), "")


def by_part(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Frames by the part that their first folder names."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(part_of(name.split("/")[0]) if "/" in name else "", []).append(name)
    return dict(parts)
