"""Annotations as a folder that `FolderDataset` reads: images, masks of ids, classes, splits.

Files appear whole or not at all, those that are newer than their sources are kept, classes and
splits come last: an interrupted run is taken up where it stopped.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from crosstask.data.convert.annotations import IGNORED, UNLABELLED, AnnotatedImage, Annotations
from crosstask.data.folder.declaration import NAME as DECLARATION
from crosstask.data.sample import DataError
from crosstask.data.splits import random_split, read_split, write_split
from crosstask.media.files import write_bytes
from crosstask.media.images import SUFFIXES, image_facts, read_map
from crosstask.media.label_range import BYTE_CLASSES, void_label
from crosstask.media.orientation import stored_size, upright
from crosstask.media.reading import read_bytes
from crosstask.tasks.classes import ClassTable

Unlabelled = Literal["background", "void"]
RECORD = ".prepare.json"  # how the folder was made; a dot file, which no reader looks at


@dataclass(frozen=True)
class Plan:
    """Classes of the result, and what becomes of the source's.

    Attributes:
        table: names and colours.
        stored: id in the masks by the source's index; the last two are of `IGNORED` and `UNLABELLED`.
    """

    table: ClassTable
    stored: tuple[int, ...]

    @property
    def void(self) -> int:
        return void_label(len(self.table))


@dataclass
class Totals:
    """What frames, one or many, came to; by stored id."""

    frames: int = 0
    written: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)  # in which an id occurs

    def add(self, other: "Totals") -> None:
        self.frames, self.written = self.frames + other.frames, self.written + other.written
        self.pixels.update(other.pixels)
        self.images.update(other.images)


def plan(annotations: Annotations, unlabelled: Unlabelled) -> Plan:
    """Classes and ids of the result.

    With "background", unlabelled pixels are the format's background class, or a new first
    one; with "void" they are void, and a background class of which nothing is drawn is left out.

    Raises:
        DataError: fewer than two classes are left, or more than a mask can hold.
    """
    names, colors = list(annotations.classes), list(annotations.colors)
    background = annotations.background
    if unlabelled == "void":
        if background is not None and background not in annotations.drawn:
            place = names.index(background)
            names.pop(place)
            colors = colors[:place] + colors[place + 1 :]
    elif background is None:
        background = "background"
        if background in names:
            raise DataError("`background` is a class that is drawn; give --unlabelled void")
        names.insert(0, background)
        colors = [_free_color(colors), *colors] if colors else colors
    if len(names) < 2:
        raise DataError(
            f"the only class is {names[0] if names else 'none'!r}; expected two or more: unlabelled pixels "
            "are a class of their own with --unlabelled background"
        )
    try:
        table = ClassTable(tuple(names), tuple(colors))
    except ValueError as error:
        raise DataError(str(error)) from error
    void = void_label(len(names))
    rest = names.index(background) if unlabelled == "background" and background else void
    ids = [names.index(name) if name in names else void for name in annotations.classes]
    return Plan(table, (*ids, void, rest))


def _free_color(taken: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    greys = ((grey, grey, grey) for grey in range(256))
    return next(grey for grey in greys if grey not in taken)


def frame_jobs(annotations: Annotations, output: Path, chosen: Plan) -> list[Callable[[], Totals]]:
    """One job a frame.

    Raises:
        DataError: two images of one name, two entries of one image, one file for two images.
    """
    seen: dict[str, Path] = {}
    places: dict[Path, str] = {}
    for one in annotations.images:
        if one.name in seen:
            told = (
                f"{one.image} and {seen[one.name]} would both be images/{one.name}; rename one"
                if seen[one.name] != one.image
                else f"{one.sources[0]} has two entries of the image {one.image}; merge their regions into "
                "one, or remove one: only one could be written"
            )
            raise DataError(told)
        seen[one.name] = one.image
        if one.embedded is None and places.setdefault(one.image, one.name) != one.name:
            raise DataError(
                f"{one.image} is the only file found for {places[one.image]} and for {one.name}, images of "
                "the same file name in two folders; give with --images the folder that holds both"
            )
    return [partial(write_frame, one, output, chosen) for one in annotations.images]


def write_frame(one: AnnotatedImage, output: Path, chosen: Plan) -> Totals:
    """Writes one image and its mask, as far as they are not there; counts the mask's ids."""
    suffix = one.image.suffix if one.image.suffix.lower() in SUFFIXES else ".png"
    image = output / "images" / f"{one.name}{suffix}"
    mask = output / "segmentation" / f"{one.name}.png"
    sources = one.sources if one.embedded else (*one.sources, one.image)
    fresh = _newer(image, sources) and _newer(mask, sources)
    if not fresh:
        write_bytes(image, read_bytes(one.image) if one.embedded is None else one.embedded())
        write_bytes(mask, _mask_bytes(_drawn(one, image), chosen))
    ids, counts = np.unique(read_map(mask)[0], return_counts=True)
    pixels = Counter({int(i): int(n) for i, n in zip(ids, counts, strict=True)})
    return Totals(1, not fresh, pixels, Counter(dict.fromkeys(pixels, 1)))


def _newer(path: Path, sources: Sequence[Path]) -> bool:
    if not path.is_file():
        return False
    made = path.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns <= made for source in sources if source.exists())


def _drawn(one: AnnotatedImage, image: Path) -> np.ndarray:
    """The map of the upright image; one that is drawn on the image as stored is turned along."""
    facts = image_facts(image)
    size = (facts.height, facts.width)
    stored = stored_size(size, facts.orientation)
    if one.size in (None, size):
        return one.draw(size)
    if one.size == stored:
        return upright(torch.from_numpy(one.draw(stored)), facts.orientation).numpy()
    raise DataError(
        f"{one.sources[0]} says that {one.image} is {one.size[0]}x{one.size[1]}, but it is "
        f"{size[0]}x{size[1]} (height x width); annotate the image as it is, or take the original"
    )


def _mask_bytes(drawn: np.ndarray, chosen: Plan) -> bytes:
    if drawn.min() < IGNORED or drawn.max() >= len(chosen.stored) - 2:
        raise DataError(f"a mask holds the class {drawn.max()} of {len(chosen.stored) - 2}")
    assert (IGNORED, UNLABELLED) == (-2, -1)  # the last two of the table
    deep = len(chosen.table) > BYTE_CLASSES
    ids = np.array(chosen.stored, np.uint16 if deep else np.uint8)[drawn]
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, format="PNG")
    return buffer.getvalue()


# What is written once -------------------------------------------------------------------------


def begin(output: Path, chosen: Plan, options: Mapping[str, str]) -> None:
    """Writes down how the folder is made; refuses one that was made otherwise.

    Raises:
        DataError: the folder holds something else, or the result of other options or classes.
    """
    record = {**options, "classes": list(chosen.table.names)}
    path = output / RECORD
    if not path.is_file():
        if (output / "images").is_dir() or (output / "classes.txt").exists():
            raise DataError(
                f"{output} is a folder of images that was not prepared from annotations; give another "
                "--output"
            )
        return write_bytes(path, (json.dumps(record, indent=2) + "\n").encode())
    try:
        found = json.loads(read_bytes(path))
    except ValueError:
        found = {}
    differing = [
        key for key in record if not isinstance(found, dict) or found.get(key) != record[key]
    ]
    if differing:
        raise DataError(
            f"{output} was prepared with other {' and '.join(differing)}; give another --output, or "
            "remove it"
        )
    return None


def finish(output: Path, chosen: Plan, parts: Mapping[str, Sequence[str]]) -> None:
    """Classes, how masks are stored, and the lists of the splits."""
    colored = zip(chosen.table.names, chosen.table.colors, strict=True)
    lines = [f"{name} {red} {green} {blue}" for name, (red, green, blue) in colored]
    write_bytes(output / "classes.txt", ("\n".join(lines) + "\n").encode())
    write_bytes(output / DECLARATION, f"masks: ids\nvoid: {chosen.void}\n".encode())
    for part, names in parts.items():
        if names:
            write_split(output / "splits" / f"{part}.txt", sorted(names))


def divide(
    annotations: Annotations, lists: Path | None, validation: float, test: float, seed: int = 0
) -> dict[str, list[str]]:
    """Names by split: of the lists given, else as the source divides them, else by a hash and a share.

    Args:
        lists: folder with train.txt, val.txt and maybe test.txt, one name a line, with or without
            suffix.
        validation: share of the frames.
        test: share of the frames.

    Raises:
        DataError: shares or a source that leave nothing for training, a list that is missing or names no
            frame.
    """
    names = [one.name for one in annotations.images]
    if lists is not None:
        return _by_lists(lists, names)
    if not (0 < validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise DataError(
            f"`validation` is {validation}, `test` {test}; expected shares that leave some for training"
        )
    parts = {part: list(found) for part, found in annotations.parts.items()}
    if "train" in parts and "val" in parts:
        return parts
    held = {name for part, found in parts.items() if part != "train" for name in found}
    rest = parts.pop("train", [name for name in names if name not in held])
    if test and "test" not in parts:
        rest, parts["test"] = random_split(rest, 1 - test, seed)
    if "val" not in parts:
        rest, parts["val"] = random_split(rest, 1 - validation / (1 - test), seed)
    if not rest:
        raise DataError(
            f"all {len(names)} frames are of {' and '.join(sorted(parts))}, and none is left for training; "
            "divide them yourself with --splits DIR (train.txt, val.txt)"
        )
    return {"train": rest, **parts}


def _by_lists(folder: Path, names: Sequence[str]) -> dict[str, list[str]]:
    known = set(names)
    parts = {}
    for part in ("train", "val", "test"):
        path = folder / f"{part}.txt"
        if not path.is_file():
            if part == "test":
                continue
            raise DataError(f"{folder} has no {part}.txt; expected one name a line")
        parts[part] = [_listed(name, known, path) for name in read_split(path)]
    return parts


def _listed(text: str, known: set[str], path: Path) -> str:
    name = text.replace("\\", "/").removeprefix("./")
    plain = name.rsplit(".", 1)[0] if name.lower().endswith(SUFFIXES) else name
    for candidate in (name, plain):
        if candidate in known:
            return candidate
    example = next(iter(sorted(known)), "none")
    raise DataError(
        f"{path} names {text!r}, which the annotations do not have (they have {example!r})"
    )
