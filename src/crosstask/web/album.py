"""All that a visitor looks at: images or frames of a video, each with what every served model says of it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crosstask.media.images import StoredImage
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
        """With another scene in the place of the shown one; its pixel holds for every model's."""
        scenes = [replace(s, pixel=scene.pixel) for s in self.item.scenes]
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
        scene = studios[model].attend(there.scene)
        level = scene.attention.levels[0] if scene.attention and scene.attention.levels else None
        return there.change(replace(scene, level=level))

    def _with(self, scenes: Sequence[Scene]) -> "Album":
        items = list(self.items)
        items[self.chosen] = replace(self.item, scenes=tuple(scenes))
        return replace(self, items=tuple(items))


def read(
    studios: Sequence[Studio], files: Sequence[Path], end: float = math.inf
) -> tuple[list[tuple[str, int | None, StoredImage]], list[str]]:
    """(name, number of the frame, image) of uploads, and what is wrong with others; deletes them all.

    Images are shrunk to what is shown.

    Args:
        end: of `time.monotonic`; what is not read by then is left out.
    """
    try:
        return _read(studios[0], files, end)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _read(
    studio: Studio, files: Sequence[Path], end: float
) -> tuple[list[tuple[str, int | None, StoredImage]], list[str]]:
    found: list[tuple[str, int | None, StoredImage]] = []
    wrong: list[str] = []
    if len(files) > studio.limits.images:
        return [], [
            f"{len(files)} files were given; at most {studio.limits.images} are taken at once"
        ]
    for number, file in enumerate(files):
        if number and time.monotonic() > end:
            wrong.append(f"{len(files) - number} of {len(files)} files were left out: {TOO_LONG}")
            break
        try:
            if is_video(file):
                frames = studio.frames(file)
                found += [
                    (f"{file.stem} frame {number}", number, frame) for number, frame in frames
                ]
            else:
                image = studio.shrunk(studio.open(file), studio.limits.shown_pixels)
                found.append((file.stem, None, image))
        except (ValueError, ModuleNotFoundError) as error:  # the latter: no reader of videos
            wrong.append(str(error))
    return found, wrong


def predict(
    studios: Sequence[Studio],
    images: Sequence[tuple[str, int | None, StoredImage]],
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
    first = images[0][2].size
    told = [
        one_focal_for_sizes(name, image.size, first)
        for name, _, image in images
        if camera.fx and image.size != first
    ][:1]
    for number, (name, frame, image) in enumerate(images):
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
                for studio in studios
            ]  # fmt: skip
        except TooSlowError as error:
            if not items:
                raise
            told.append(f"{name} was left out: {error}")
            continue
        items.append(Item(name, tuple(scenes), frame))
    return Album(tuple(items)).show(studios, 0, 0), told
