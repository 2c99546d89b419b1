"""Sequences of frames: folders of numbered images, and videos."""

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crosstask.data.files import IMAGE_SUFFIXES, list_images
from crosstask.data.sample import DataError
from crosstask.media.images import image_facts
from crosstask.media.video import VIDEO_SUFFIXES, frame_times, video_orientation


@dataclass(frozen=True)
class FrameSequence:
    """Frames of one camera in temporal order: image files, or time stamps within one video."""

    name: str
    files: tuple[Path, ...]
    times: tuple[int, ...] = ()
    orientation: int | None = None  # of a video's frames; images have their own

    def __len__(self) -> int:
        return max(len(self.files), len(self.times)) if self.times else len(self.files)


def find_sequences(root: Path) -> list[FrameSequence]:
    """The video that `root` is, or every folder of images and every video below it.

    Images of a folder are in the order of the numbers in their names.
    """
    if root.is_file():
        return [_of_video(root.stem, root)]
    images: dict[Path, list[Path]] = {}
    found = []
    for path in list_images(root, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES), nested=True):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(path.parent, []).append(path)
        else:
            found.append(_of_video(path.relative_to(root).as_posix(), path))
    for folder, files in images.items():
        name = folder.relative_to(root).as_posix()
        ordered = tuple(sorted(files, key=lambda p: natural_order(p.stem)))
        found.append(FrameSequence(name, ordered))
    return found


def _of_video(name: str, path: Path) -> FrameSequence:
    return FrameSequence(name, (), tuple(frame_times(path)), video_orientation(path))


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """Sorting key under which frame2 comes before frame10."""
    return tuple((text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name))


def gaps(names: Sequence[str]) -> tuple[int, ...]:
    """Positions before which frame numbers jump by clearly another step than the usual one.

    The usual one is the most frequent, or the median where the numbers are times and none is
    frequent; a step of between two thirds and one and a half of it is none (33 and 34 milliseconds).
    Names without a number at their end have no gaps: their order alone counts.
    """
    matches = [re.search(r"(\d+)$", name) for name in names]
    if len(names) < 2 or any(match is None for match in matches):
        return ()
    numbers = [int(match.group(1)) for match in matches if match]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    usual, times = min(Counter(steps).items(), key=lambda item: (-item[1], item[0]))
    if 2 * times < len(steps):
        usual = statistics.median_low(steps)
    least, most = sorted((2 * usual / 3, 3 * usual / 2))
    return tuple(i + 1 for i, step in enumerate(steps) if not least <= step <= most)


def check_alike(files: Sequence[Path]) -> None:
    """Raises `DataError` unless all readable images have one size and are all colour or all grey."""
    first: tuple[tuple[int, int], bool] | None = None
    for path in files:
        try:
            found = image_facts(path)
        except DataError:
            continue  # named when it is read, and left out then if the caller wants that
        facts = ((found.width, found.height), found.grey)
        first = first or facts
        if facts[0] != first[0]:
            raise DataError(
                f"{path} is {facts[0][0]}x{facts[0][1]}, but {files[0]} is {first[0][0]}x{first[0][1]} (width x "
                "height); expected one size in a sequence, for one camera has one set of intrinsics; "
                "put them into separate folders"
            )
        if facts[1] != first[1]:
            kinds = ("grey", "colour") if facts[1] else ("colour", "grey")
            raise DataError(
                f"{path} is {kinds[0]}, but {files[0]} is {kinds[1]}; expected one kind in a sequence, "
                "for colours are compared between frames; convert one of them"
            )
