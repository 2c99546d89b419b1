"""Images in folders and frames of videos through a model, with constant memory."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosstask.data.feeding import RGB
from crosstask.geometry.camera_files import CameraFile
from crosstask.media.files import write_json
from crosstask.media.images import ImageError, StoredImage
from crosstask.media.orientation import stored_size
from crosstask.media.value_range import few_levels
from crosstask.media.video import (
    VideoDefect,
    frame_rate,
    stream_frames,
    video_orientation,
)
from crosstask.predict.camera import camera_of_image, check_focal, one_focal_for_sizes
from crosstask.predict.images import wrong_channels
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.sinks import FORMATS, FrameFiles, FrameVideos
from crosstask.predict.writing import is_finished, made_from, write_prediction
from crosstask.tasks.camera import METRIC


@dataclass(frozen=True)
class Settings:
    """How inputs go through the model and what is written.

    Attributes:
        intrinsics, fx, fov, size, flip, camera_height: as for `SceneModel.predict`; intrinsics also as a
            camera file.
        batch_size: frames, or images of one size in a row, that go through together.
        every: only every so manieth frame or image.
        resume: leave out what an earlier call has finished, of the same files and under `made_with`.
        made_with: digest of the model and the options, see `record_settings`.
        video: "side-by-side" (one video), "per-task" (a video each) or "files" (as for images).
        channels: {channel: file, or folder of files with the images' names} of the channels that have
            files of their own.
    """

    intrinsics: Tensor | CameraFile | None = None
    fx: float | None = None
    size: tuple[int, int] | str | None = None
    flip: bool = False
    batch_size: int = 4
    every: int = 1
    resume: bool = False
    video: str = "side-by-side"
    camera_height: float | None = None
    channels: Mapping[str, Path] = field(default_factory=dict)
    fov: float | None = None
    made_with: str = ""

    def __post_init__(self) -> None:
        for name in ("batch_size", "every"):
            # Fields of this class.
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; expected at least 1")
        if self.video not in FORMATS:
            raise ValueError(f"`video` is {self.video!r}; expected one of {', '.join(FORMATS)}")
        check_focal(self.intrinsics, self.fx, self.fov)


@dataclass
class Outcome:
    """What came of one input: files written, frames or images done, what was wrong.

    `kinds` are those of the tasks that there are `notes` of.
    """

    files: list[Path] = field(default_factory=list)
    done: int = 0
    skipped: int = 0
    defect: str | None = None
    depth_kind: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""
    focal: str = ""

    def take(self, prediction: Prediction) -> None:
        """What is told of a prediction: kind of depth, notes, focal length.

        Of several frames the kind of those that are not metric, if any are.
        """
        if self.depth_kind in (None, METRIC):
            self.depth_kind = prediction.depth_kind
        self.notes = {**self.notes, **prediction.notes}
        self.kinds = {**self.kinds, **{t: prediction.kinds.get(t, "") for t in prediction.notes}}
        self.remark, self.focal = prediction.remark, prediction.focal_told


Tick = Callable[[int], None]
_Item = tuple[Any, StoredImage]


def _kind(item: _Item) -> tuple[Any, ...]:
    """What images of one batch have in common: shape, data type, how they were turned, camera."""
    pixels = item[1].pixels
    return tuple(pixels.shape), pixels.dtype, item[1].orientation, item[1].film_focal


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Up to `size` (key, image) in a row that are of one kind; a defect ends it after the rest."""
    waiting: list[_Item] = []
    defect = None
    try:
        for item in items:
            if waiting and (len(waiting) == size or _kind(waiting[0]) != _kind(item)):
                yield waiting
                waiting = []
            waiting.append(item)
    except VideoDefect as error:
        defect = error
    if waiting:
        yield waiting
    if defect is not None:
        raise defect


def _predict(
    model: SceneModel, items: Iterable[_Item], s: Settings
) -> Iterator[tuple[Any, Prediction]]:
    for batch in batches(items, s.batch_size):
        known = camera_of_image(
            batch[0][1], s.intrinsics, s.fx, s.fov, exif=model.own_focal is None
        )
        found = model.predict_batch(
            torch.stack([image.pixels for _, image in batch]),
            known.matrix,
            source=known.source,
            size=s.size,
            flip=s.flip,
            camera_height=s.camera_height,
        )
        yield from zip([key for key, _ in batch], found, strict=True)


def predict_images(
    model: SceneModel,
    files: Iterable[tuple[str, Path]],
    folder: Path,
    settings: Settings,
    tick: Tick = lambda _: None,
) -> Iterator[tuple[Path, Outcome]]:
    """Predicts images; yields each with its outcome, unreadable ones with their defect.

    Args:
        files: (name of the results, image).
        tick: called with the number of images done.
    """
    bad: list[tuple[Path, Outcome]] = []
    made = partial(made_from, settings=settings.made_with)

    def read() -> Iterator[_Item]:
        warned, sizes = False, SizeCheck(settings)
        for number, (name, file) in enumerate(files):
            if number % settings.every:
                continue
            if settings.resume and is_finished(folder / f"{name}.json", made(file)):
                bad.append((file, Outcome(skipped=1)))
                tick(1)
                continue
            try:
                image = model.open(file, beside(file, settings.channels))
                warned = warned or _warn(file, image, model)
                sizes.see(file, image)
                camera_of_image(image, settings.intrinsics, settings.fx, settings.fov)
                yield (name, file), image
            except ValueError as error:  # unreadable, or of other channels
                bad.append((file, Outcome(defect=str(error))))
                tick(1)

    for (name, file), prediction in _predict(model, read(), settings):
        while bad:
            yield bad.pop(0)
        written = write_prediction(prediction, model, folder, name, made(file))
        tick(1)
        outcome = Outcome(written, 1)
        outcome.take(prediction)
        yield file, outcome
    yield from bad


def predict_video(
    model: SceneModel,
    file: Path,
    folder: Path,
    name: str,
    settings: Settings,
    tick: Tick = lambda _: None,
) -> Outcome:
    """Predicts a video, a batch of frames in memory at a time.

    Writes `NAME_side_by_side.mp4`, or `NAME_<task>.mp4`, or the files of `write_prediction` for
    `NAME_000000` and so on; and `NAME.json`. A damaged video ends at the damage: what comes before
    is kept and the outcome names the defect.

    Raises:
        ValueError: not a video at all.
    """
    sheet, made = folder / f"{name}.json", made_from(file, settings.made_with)
    if settings.resume and is_finished(sheet, made):
        return Outcome(skipped=1)
    if (names := model.channels.names) != RGB:
        raise ValueError(f"{file}: {wrong_channels(3, names)}")
    rate = frame_rate(file) / settings.every
    outcome = Outcome()
    with ExitStack() as stack:
        if settings.video == "files":
            sink: Any = FrameFiles(model, folder, name, made)
        else:
            joined = settings.video == "side-by-side"
            sink = FrameVideos(model, folder, name, rate, joined, stack)
        turned = video_orientation(file)
        frames = ((n, StoredImage(f, turned)) for n, f in stream_frames(file, settings.every))
        if settings.resume and settings.video == "files":
            frames = ((n, f) for n, f in frames if not sink.has(n))
        try:
            for number, prediction in _predict(model, frames, settings):
                sink.write(number, prediction)
                outcome.done += 1
                outcome.take(prediction)
                tick(1)
        except VideoDefect as defect:
            outcome.defect = str(defect)
    outcome.files = sink.files
    facts = {"frames": outcome.done, "rate": rate, "depth_kind": outcome.depth_kind, **sink.facts()}
    if outcome.focal:
        facts["focal"] = outcome.focal
    if outcome.notes:
        facts["notes"] = dict(outcome.notes)
    if outcome.remark:
        facts["remark"] = outcome.remark
    if outcome.defect is None:  # without it, a later call with `resume` tries again
        write_json(sheet, {**facts, "made_from": made})
        outcome.files = [*outcome.files, sheet]
    return outcome


def beside(file: Path, channels: Mapping[str, Path]) -> dict[str, Path]:
    """{channel: the file of this image}, out of {channel: file or folder}.

    Raises:
        ImageError: a folder without, or with several, files of the image's name.
    """
    found = {}
    for name, place in channels.items():
        files = [place]
        if place.is_dir():
            files = sorted(path for path in place.iterdir() if path.stem == file.stem)
        if len(files) != 1:
            raise ImageError(
                f"{place} has {len(files)} files named {file.stem}; expected one, the {name} of {file}"
            )
        found[name] = files[0]
    return found


class SizeCheck:
    """Warns once where one focal length in pixels is given for images of several sizes."""

    def __init__(self, settings: Settings) -> None:
        self.given, camera = "fx" if settings.fx is not None else "intrinsics", settings.intrinsics
        scaled = isinstance(camera, CameraFile) and camera.size is not None
        self.waiting = settings.fx is not None or (camera is not None and not scaled)
        self.first: tuple[int, int] | None = None

    def see(self, file: Path, image: StoredImage) -> None:
        """The next image."""
        rows, columns = image.pixels.shape[-2:]
        height, width = stored_size((rows, columns), image.orientation)
        self.first = self.first or (height, width)
        if self.waiting and self.first != (height, width):
            self.waiting = False
            warnings.warn(
                one_focal_for_sizes(str(file), (height, width), self.first, self.given),
                RuntimeWarning,
                stacklevel=3,
            )


def _warn(file: Path, image: StoredImage, model: SceneModel) -> bool:
    """Warns of an image that uses a small part of its range of values; whether it did."""
    text = few_levels(image.pixels, model.value_range)
    if text is not None:
        warnings.warn(f"{file}: {text}", RuntimeWarning, stacklevel=3)
    return text is not None
