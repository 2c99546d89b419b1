"""All that a visitor looks at: images or frames of a video, each with what every served model says of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crosstask.media.images import StoredImage
from crosstask.predict.inputs import is_video
from crosstask.web.session import Scene, Studio, TooSlowError


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
    studios: Sequence[Studio], files: Sequence[Path]
) -> tuple[list[tuple[str, int | None, StoredImage]], list[str]]:
    """(name, number of the frame, image) of uploads, and what is wrong with others; deletes them all."""
    found: list[tuple[str, int | None, StoredImage]] = []
    wrong: list[str] = []
    studio = studios[0]
    if len(files) > studio.limits.images:
        for file in files:
            file.unlink(missing_ok=True)
        return [], [
            f"{len(files)} files were given; at most {studio.limits.images} are taken at once"
        ]
    for file in files:
        try:
            if is_video(file):
                frames = studio.frames(file)
                found += [
                    (f"{file.stem} frame {number}", number, frame) for number, frame in frames
                ]
            else:
                found.append((file.stem, None, studio.open(file)))
        except ValueError as error:
            wrong.append(str(error))
    return found, wrong


def predict(
    studios: Sequence[Studio],
    images: Sequence[tuple[str, int | None, StoredImage]],
    camera: Camera,
) -> tuple[Album, list[str]]:
    """Every model's results of every image, and what was left out.

    Raises:
        ValueError: not even the first could be predicted.
    """
    limits = studios[0].limits
    share = limits.together_pixels // (len(images) * len(studios))
    end = time.monotonic() + limits.job_seconds
    items: list[Item] = []
    told: list[str] = []
    for name, frame, image in images:
        if items and time.monotonic() > end:
            told.append(
                f"{len(images) - len(items)} of {len(images)} images were left out: together they take "
                f"longer than {limits.job_seconds:g} seconds"
            )
            break
        try:
            scenes = [
                studio.look(
                    image, camera.fx, camera.fov, camera.height, attend=False,
                    most_pixels=min(limits.shown_pixels, share),
                )
                for studio in studios
            ]  # fmt: skip
        except TooSlowError:
            if not items:
                raise
            continue
        items.append(Item(name, tuple(scenes), frame))
    return Album(tuple(items)).show(studios, 0, 0), told
