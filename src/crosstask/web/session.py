"""What stands behind the web page, without gradio: images in, scenes out, within limits."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.data import ProceduralStreets
from crosstask.data.feeding import RGB, feed
from crosstask.geometry.pinhole import scale_intrinsics
from crosstask.media.images import ImageError, StoredImage, as_float, read_upright
from crosstask.media.reading import DataError
from crosstask.media.value_range import ValueRange
from crosstask.media.video import (
    VideoDefect,
    frame_count,
    frame_rate,
    frame_size,
    stream_frames,
    video_orientation,
)
from crosstask.predict.attention import AttentionReader
from crosstask.predict.camera import camera_of_image
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.views import shrink

MOST_ELONGATED = 16


@dataclass(frozen=True)
class Limits:
    """What a visitor may ask for.

    Args:
        upload_mb: largest file, in 2^20 bytes.
        megapixels: largest image, in millions of pixels.
        seconds: longest time the network may compute for one image.
        shown_pixels: larger images are shrunk to this many pixels before they are predicted.
        points: most points of the 3-D view (the file holds all).
        uploads_a_minute: files of one visitor.
        images: most files that are predicted together.
        frames: most frames of a video, evenly over it.
        video_seconds: longest video.
        together_pixels: of all images that are shown together, which are shrunk to it.
        job_seconds: longest time that the images of one upload may take together.
        archive_mb: largest archive of results, in 2^20 bytes.
        kept_mb: of all visitors' archives and point clouds.
    """

    upload_mb: float = 20.0
    megapixels: float = 40.0
    seconds: float = 60.0
    shown_pixels: int = 800_000
    points: int = 30_000
    uploads_a_minute: int = 20
    images: int = 12
    frames: int = 16
    video_seconds: float = 60.0
    together_pixels: int = 1_600_000
    job_seconds: float = 180.0
    archive_mb: float = 128.0
    kept_mb: float = 1024.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"`{name}` is {value}; expected a number above 0")


class TooSlowError(ValueError):
    """The network took longer than the limit."""


@dataclass
class Scene:
    """One visitor's image and all that a model computed of it.

    Attributes:
        prediction: at the size of the (shrunken) image.
        attention: reads rows of the attention; without levels where there is none; None until it is asked
            for, see `Studio.attend`.
        note: what was done to the image, for the visitor; may be empty.
        pixel: row and column that were clicked; the middle at first.
        seconds: that the network took.
    """

    prediction: Prediction
    attention: AttentionReader | None
    note: str
    pixel: tuple[int, int]
    seconds: float
    level: int | None = field(default=None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image shown."""
        return self.prediction.image.shape[-2], self.prediction.image.shape[-1]

    def attention_pixel(self) -> tuple[int, int]:
        """The clicked pixel in the image that the network saw."""
        assert self.attention is not None
        (row, column), (height, width) = self.pixel, self.size
        seen = self.attention.size
        return row * seen[0] // height, column * seen[1] // width


class Studio:
    """A model that serves several visitors, one image at a time.

    Args:
        model: from `crosstask.load`.
        limits: see `Limits`.
        size: (height, width) of the network's input; as in training if left out.
        name: of the model, for visitors.
    """

    def __init__(
        self,
        model: SceneModel,
        limits: Limits | None = None,
        size: tuple[int, int] | None = None,
        name: str = "model",
    ) -> None:
        if (names := model.channels.names) != RGB:
            raise ValueError(
                f"the model takes {len(names)} channels ({', '.join(names)}), and the page shows images of "
                "three channels only, red, green and blue; predict with `crosstask predict`"
            )
        self.model, self.size, self.name = model, size, name
        self.limits = limits or Limits()
        self._lock = Lock()

    @property
    def reads(self) -> tuple[ValueRange | None, bool]:
        """How this model reads images; two of which this is the same can share what is read.

        Returns:
            stored values that are black and white, and whether large images are shrunk.
        """
        return self.model.value_range, self.model.own_focal is None

    def open(self, path: Path | str, keep: bool = False) -> StoredImage:
        """Reads an upload and deletes it, whatever it is.

        Args:
            keep: leave the file, for another model that reads it in another way.

        Raises:
            ImageError: not an image, damaged, or beyond the limits; names the file, not its folder.
        """
        with self._upload(path, keep) as file:
            most = round(self.limits.megapixels * 1e6)
            found = read_upright(file, self.model.value_range, most)
        self._check_shape(file, found.pixels.shape)
        return found

    def frames(self, path: Path | str, keep: bool = False) -> list[tuple[int, StoredImage]]:
        """Numbers and frames of an uploaded video, evenly over it, and shrunk; deletes the upload.

        Args:
            keep: see `open`.

        Raises:
            ImageError: not a video, damaged before its first frame, or beyond the limits.
        """
        most = round(self.limits.megapixels * 1e6)
        most_each = self.limits.together_pixels // self.limits.frames
        found: list[tuple[int, StoredImage]] = []
        with self._upload(path, keep) as file:
            height, width = frame_size(file)
            number, rate = frame_count(file), frame_rate(file)
            if height * width > most or (number or 0) / rate > self.limits.video_seconds:
                raise ImageError(
                    f"{file} has {number or 0} frames of {height}x{width}, {(number or 0) / rate:.0f} s; at most "
                    f"{self.limits.megapixels:g} megapixels and {self.limits.video_seconds:g} s are taken here"
                )
            every = max(1, -(-(number or 1) // self.limits.frames))
            end, turned = time.monotonic() + self.limits.seconds, 0
            try:
                for index, frame in stream_frames(file, every, most):
                    self._check_shape(file, frame.shape)
                    turned = turned or video_orientation(file)  # a frame has passed the limits
                    found.append((index, self.shrunk(StoredImage(frame, turned), most_each)))
                    if len(found) == self.limits.frames or time.monotonic() > end:
                        break
            except VideoDefect:
                if not found:
                    raise
        return found

    @contextmanager
    def _upload(self, path: Path | str, keep: bool) -> Iterator[Path]:
        """The file of an upload, held against the limit; deleted at the end, and its folder in no message."""
        file = Path(path)
        try:
            if file.is_file() and file.stat().st_size > self.limits.upload_mb * 2**20:
                raise ImageError(
                    f"{file} has {file.stat().st_size / 2**20:.1f} MB; at most "
                    f"{self.limits.upload_mb:g} are taken here"
                )
            yield file
        except DataError as error:
            raise ImageError(str(error).replace(str(file), file.name)) from None
        finally:
            if not keep:
                file.unlink(missing_ok=True)

    def _check_shape(self, file: Path, shape: Sequence[int]) -> None:
        height, width = shape[-2:]
        if min(height, width) < 2 or max(height, width) > MOST_ELONGATED * min(height, width):
            raise ImageError(
                f"{file.name} has {height}x{width} pixels; expected at least 2x2, and no side longer than "
                f"{MOST_ELONGATED} times the other"
            )

    def shrunk(self, image: StoredImage, most_pixels: int) -> StoredImage:
        """The image as floats, of at most so many pixels; whole for a model of one camera, whose focal
        length is in pixels of what it is given."""
        pixels = as_float(image.pixels)
        if self.model.own_focal is None:
            pixels = shrink(pixels, most_pixels)
        return replace(image, pixels=pixels, whole=image.size)

    def look(
        self,
        image: StoredImage,
        fx: float | None = None,
        fov: float | None = None,
        camera_height: float | None = None,
        *,
        most_pixels: int | None = None,
        attend: bool = True,
    ) -> Scene:
        """Predicts an image.

        Args:
            image: of `open`.
            fx: focal length in pixels of this image; None where it is not known.
            fov: or its horizontal field of view in degrees; without either, what its EXIF data tell.
            camera_height: metres of the camera above the ground before it; sets the scale of depth.
            most_pixels: a larger image is shrunk to so many; those of `Limits` if left out.
            attend: keep what `AttentionReader` needs.

        Raises:
            TooSlowError: the network took longer than the limit.
            ValueError: a camera that cannot be, or a height without a camera.
        """
        known = camera_of_image(image, fx=fx, fov=fov, exif=self.model.own_focal is None)
        shown = self.shrunk(image, most_pixels or self.limits.shown_pixels).pixels
        height, width = shown.shape[-2:]
        note, matrix, whole = "", known.matrix, image.size
        if (height, width) != whole:
            note = f"shrunk from {whole[0]}x{whole[1]}"
            if matrix is not None:
                matrix = scale_intrinsics(matrix, width / whole[1], height / whole[0])
        with self._lock:
            started = time.monotonic()
            with deadline(self.model.network, self.limits.seconds):
                (prediction,) = self.model.predict_batch(
                    shown[None],
                    matrix,
                    size=self.size,
                    camera_height=camera_height,
                    source=known.source,
                )
                attention = self._attention(shown) if attend else None
            seconds = time.monotonic() - started
        note = "; ".join(text for text in (note, prediction.remark) if text)
        return Scene(prediction, attention, note, (height // 2, width // 2), seconds)

    def attend(self, scene: Scene) -> Scene:
        """The scene with its attention, computed now if it was not kept.

        Raises:
            TooSlowError: the network took longer than the limit.
        """
        if scene.attention is not None:
            return scene
        with self._lock, deadline(self.model.network, self.limits.seconds):
            return replace(scene, attention=self._attention(scene.prediction.image))

    def _attention(self, shown: Float[Tensor, "3 h w"]) -> AttentionReader:
        height, width = shown.shape[-2:]
        place = self.model.place(height, width, self.size)
        return AttentionReader(self.model.network, feed(shown[None], place)[0], place.content)


@contextmanager
def deadline(network: nn.Module, seconds: float) -> Iterator[None]:
    """Inside, no module of the network starts any more once `seconds` are over.

    A computation cannot be interrupted from outside, but between two layers it can stop itself.

    Raises:
        TooSlowError: in the module that would have started too late.
    """
    end = time.monotonic() + seconds

    def check(module: nn.Module, inputs: object) -> None:
        if time.monotonic() > end:
            raise TooSlowError(
                f"the prediction took longer than {seconds:g} seconds and was stopped; take a "
                "smaller image, or serve with a larger --time-limit or a smaller --size"
            )

    hooks = [module.register_forward_pre_hook(check) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Example:
    """A rendered street: image (3,H,W) in [0,1], and its focal length in pixels."""

    name: str
    image: Tensor
    fx: float

    @property
    def stored(self) -> StoredImage:
        """As an upload would be read."""
        return StoredImage(self.image, 1)


def render_examples(number: int = 4, size: tuple[int, int] = (192, 384)) -> list[Example]:
    """Example images, rendered now: streets of the test split that no training has seen."""
    streets = ProceduralStreets(
        split="test", modalities=("segmentation",), size=size, length=number
    )
    samples = (streets[index] for index in range(number))
    return [
        Example(f"street {k + 1}", s["image"], float(s["intrinsics"][0, 0]))
        for k, s in enumerate(samples)
    ]
