"""What every annotation format is read into: classes, and images with the regions drawn on them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from crosstask.data.sample import DataError
from crosstask.media.images import SUFFIXES
from crosstask.media.reading import read_bytes

UNLABELLED, IGNORED = -1, -2  # in maps of class indices: outside of all regions; void by name
Overlap = Literal["order", "area"]
Size = tuple[int, int]
Draw = Callable[[Size], np.ndarray]
# What reading a value of another type or a missing one raises.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and how its class map is made.

    Attributes:
        name: within images/ of the result, without suffix.
        image: its file.
        draw: (height, width) -> (H,W) integers: an index of `Annotations.classes`, `UNLABELLED` or
            `IGNORED`. A function of a module with its arguments, so that other processes take it.
        sources: files that the map is made from; where one is newer than the result, it is made anew.
        size: (height, width) that the annotation states, None where it does not.
        embedded: bytes of the image where no file is needed, see `labelme`.
    """

    name: str
    image: Path
    draw: Draw
    sources: tuple[Path, ...]
    size: Size | None = None
    embedded: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Annotations:
    """A source, read.

    Attributes:
        classes: names, in the order of the indices.
        colors: of the classes, empty where the format has none.
        background: the class that stands for unlabelled pixels in the format, None without one.
        drawn: the classes of which some region is drawn.
        parts: names by split, where the source divides them.
        overlap: which region counts where two lie on one pixel, None where the format has no two.
        notes: what was left out or assumed.
    """

    classes: tuple[str, ...]
    images: Sequence[AnnotatedImage]
    colors: tuple[tuple[int, int, int], ...] = ()
    background: str | None = None
    drawn: frozenset[str] = frozenset()
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    overlap: Overlap | None = None
    notes: Sequence[str] = ()


def read_json(path: Path) -> Any:
    """A JSON file of up to two gigabytes.

    Raises:
        DataError: unreadable, or no JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not a sound JSON file ({error}); export it again") from error


def malformed(path: Path, what: str, error: Exception) -> DataError:
    """The error for an entry that is not built as its format says."""
    return DataError(
        f"{path}: {what} is not as the format says ({type(error).__name__}: {error}); export it again"
    )


def frame_name(text: str, where: Path) -> str:
    """A file's name in an annotation as a name within images/: no suffix, never outside of it.

    Raises:
        DataError: an absolute path, or one that climbs out of its folder.
    """
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name or ":" in path.parts[0]:
        raise DataError(
            f"{where} names the image {text!r}; expected a path within the folder of images"
        )
    return path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else path.as_posix()


def find_image(text: str, folders: Sequence[Path], where: Path) -> Path:
    """The file that an annotation means.

    Args:
        text: as the annotation writes it.
        folders: where images may lie, the likeliest first.
        where: the annotation's file.

    Raises:
        DataError: there is none.
    """
    plain = text.replace("\\", "/")
    for folder in folders:
        for candidate in (folder / plain, folder / PurePosixPath(plain).name):
            if candidate.is_file():
                return candidate
    looked = ", ".join(str(folder) for folder in dict.fromkeys(folders))
    raise DataError(
        f"{where} names the image {text!r}, which is in none of {looked}; give its folder with --images"
    )


def one_line(text: Any) -> str:
    """A class's name as classes.txt can hold it."""
    name = " ".join(str(text).split())
    if not name or name.startswith("#"):
        raise DataError(f"{text!r} is no class name that classes.txt can hold; rename the class")
    return name
