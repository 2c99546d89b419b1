"""All that a visitor looks at: images or frames of a video, each with what every served model says of it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crosstask.media.images import ImageError, StoredImage
from crosstask.predict.camera import one_focal_for_sizes
from crosstask.predict.inputs import is_video
from crosstask.web.session import Scene, Studio, TooSlowError

TOO_LONG = "together they take longer than one upload may"


@dataclass(frozen=True)
class Camera:
    """What a visitor knows of the camera: focal length in pixels or degrees across, metres above the ground."""

    fx: float | None = None
    fov: float | None = None
    height: float | None = None


@dataclass(frozen=True)
class Taken:
    """An upload, or a frame of one, before it is predicted.

    Attributes:
        name, frame: as of `Item`.
        images: as each model reads it, in the models' order.
    """

    name: str
    frame: int | None
    images: tuple[StoredImage, ...]


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        name: of its file, with the frame's number for a video.
        scenes: one of each model.
        frame: number in its video; None for an image.
    """

    name: str
    scenes: tuple[Scene, ...]
    frame: int | None = None


@dataclass(frozen=True)
class Album:
    """What a visitor has taken.

    Attributes:
        items: never empty.
        chosen: the item that is shown.
        model: the model whose results are shown.
    """

    items: tuple[Item, ...]
    chosen: int = 0
    model: int = 0

    @property
    def item(self) -> Item:
        return self.items[self.chosen]

    @property
    def scene(self) -> Scene:
        """What the chosen model says of the chosen item."""
        return self.item.scenes[self.model]

    def change(self, scene: Scene) -> "Album":
        """With another scene in the place of the shown one; the place of its pixel holds for every model's."""
        scenes = [replace(s, pixel=_same_place(scene, s)) for s in self.item.scenes]
        scenes[self.model] = scene
        return self._with(scenes)

    def show(self, studios: Sequence[Studio], chosen: int, model: int) -> "Album":
        """Shows another item or model: its attention is kept, that of the one before is not.

        Raises:
            TooSlowError: the network took longer than the limit.
        """
        scenes = list(self.item.scenes)
        scenes[self.model] = replace(self.scene, attention=None)
        there = replace(self._with(scenes), chosen=chosen, model=model)
        scenes = list(there.item.scenes)
        scene = studios[model].attend(there.scene)
        level = scene.attention.levels[0] if scene.attention and scene.attention.levels else None
        scenes[model] = replace(scene, level=level)
        return there._with(scenes)

    def _with(self, scenes: Sequence[Scene]) -> "Album":
        items = list(self.items)
        items[self.chosen] = replace(self.item, scenes=tuple(scenes))
        return replace(self, items=tuple(items))


def _same_place(scene: Scene, other: Scene) -> tuple[int, int]:
    """The pixel of another model's scene, which may have another size, where a scene's pixel is."""
    (row, column), (height, width) = scene.pixel, scene.size
    return (
        (2 * row + 1) * other.size[0] // (2 * height),
        (2 * column + 1) * other.size[1] // (2 * width),
    )


def read(
    studios: Sequence[Studio], files: Sequence[Path], end: float = math.inf
) -> tuple[list[Taken], list[str]]:
    """What the uploads hold, and what is wrong with others; deletes them all.

    Images are shrunk to what is shown.

    Args:
        end: of `time.monotonic`; what is not read by then is left out.
    """
    try:
        return _read(studios, files, end)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _read(
    studios: Sequence[Studio], files: Sequence[Path], end: float
) -> tuple[list[Taken], list[str]]:
    found: list[Taken] = []
    wrong: list[str] = []
    most = studios[0].limits.images
    if len(files) > most:
        return [], [f"{len(files)} files were given; at most {most} are taken at once"]
    for number, file in enumerate(files):
        if number and time.monotonic() > end:
            wrong.append(f"{len(files) - number} of {len(files)} files were left out: {TOO_LONG}")
            break
        try:
            found += _read_file(studios, file)
        except (ValueError, ModuleNotFoundError) as error:  # the latter: no reader of videos
            wrong.append(str(error))
    return found, wrong


def _read_file(studios: Sequence[Studio], file: Path) -> list[Taken]:
    """Images of a file, read as often as the models read in different ways; deletes it."""
    ways: dict[object, list[tuple[int | None, StoredImage]]] = {}
    try:
        for studio in studios:
            if studio.reads in ways:
                continue
            try:
                ways[studio.reads] = _as_one_reads(studio, file)
            except ValueError as error:
                if not ways:
                    raise
                raise ImageError(f"{error} (for the model {studio.name})") from None
    finally:
        file.unlink(missing_ok=True)
    # One model's frames may end earlier, where reading took too long; those before are the same.
    rows = zip(*(ways[studio.reads] for studio in studios), strict=False)
    return [
        Taken(
            file.stem if row[0][0] is None else f"{file.stem} frame {row[0][0]}",
            row[0][0],
            tuple(image for _, image in row),
        )
        for row in rows
    ]


def _as_one_reads(studio: Studio, file: Path) -> list[tuple[int | None, StoredImage]]:
    if is_video(file):
        return [*studio.frames(file, keep=True)]
    return [(None, studio.shrunk(studio.open(file, keep=True), studio.limits.shown_pixels))]


def predict(
    studios: Sequence[Studio],
    images: Sequence[Taken],
    camera: Camera,
    end: float = math.inf,
) -> tuple[Album, list[str]]:
    """Every model's results of every image; what was left out, and what cannot be right.

    Args:
        end: of `time.monotonic`; after the first image none begins later.

    Raises:
        ValueError: not even the first could be predicted.
    """
    limits = studios[0].limits
    share = limits.together_pixels // (len(images) * len(studios))
    items: list[Item] = []
    sizes = [taken.images[0].size for taken in images]
    told = [
        one_focal_for_sizes(taken.name, size, sizes[0])
        for taken, size in zip(images, sizes, strict=True)
        if camera.fx and size != sizes[0]
    ][:1]
    for number, taken in enumerate(images):
        if items and time.monotonic() > end:
            left = len(images) - number
            told.append(f"{left} of {len(images)} images were left out: {TOO_LONG}")
            break
        try:
            scenes = [
                studio.look(
                    image, camera.fx, camera.fov, camera.height, attend=False,
                    most_pixels=min(limits.shown_pixels, share),
                )
                for studio, image in zip(studios, taken.images, strict=True)
            ]  # fmt: skip
        except TooSlowError as error:
            if not items:
                raise
            told.append(f"{taken.name} was left out: {error}")
            continue
        items.append(Item(taken.name, tuple(scenes), taken.frame))
    return Album(tuple(items)).show(studios, 0, 0), told
