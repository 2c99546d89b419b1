"""What stands behind the web page, without gradio: images in, scenes out, within limits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from jaxtyping import Float
from torch import Tensor, nn

from crosstask.data import ProceduralStreets
from crosstask.data.feeding import RGB, feed
from crosstask.media.images import ImageError, read_image
from crosstask.predict.attention import AttentionReader
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
        uploads_a_minute: of one visitor.
    """

    upload_mb: float = 20.0
    megapixels: float = 40.0
    seconds: float = 60.0
    shown_pixels: int = 800_000
    points: int = 30_000
    uploads_a_minute: int = 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"`{name}` is {value}; expected a number above 0")


class TooSlowError(ValueError):
    """The network took longer than the limit."""


@dataclass
class Scene:
    """One visitor's image and all that was computed of it.

    Attributes:
        prediction: at the size of the (shrunken) image.
        attention: reads rows of the attention; without levels where there is none.
        note: what was done to the image, for the visitor; may be empty.
        pixel: row and column that were clicked; the middle at first.
        seconds: that the network took.
    """

    prediction: Prediction
    attention: AttentionReader
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
        (row, column), (height, width) = self.pixel, self.size
        seen = self.attention.size
        return row * seen[0] // height, column * seen[1] // width


class Studio:
    """A model that serves several visitors, one image at a time.

    Args:
        model: from `crosstask.load`.
        limits: see `Limits`.
        size: (height, width) of the network's input; as in training if left out.
    """

    def __init__(
        self, model: SceneModel, limits: Limits | None = None, size: tuple[int, int] | None = None
    ) -> None:
        if (names := model.channels.names) != RGB:
            raise ValueError(
                f"the model takes {len(names)} channels ({', '.join(names)}), and the page shows images of "
                "three channels only, red, green and blue; predict with `crosstask predict`"
            )
        self.model, self.size = model, size
        self.limits = limits or Limits()
        self._lock = Lock()

    def open(self, path: Path | str) -> Float[Tensor, "3 h w"]:
        """Reads an upload and deletes it, whatever it is.

        Raises:
            ImageError: not an image, damaged, or beyond the limits; names the file, not its folder.
        """
        file = Path(path)
        try:
            if file.is_file() and file.stat().st_size > self.limits.upload_mb * 2**20:
                raise ImageError(
                    f"{file} has {file.stat().st_size / 2**20:.1f} MB; at most "
                    f"{self.limits.upload_mb:g} are taken here"
                )
            most = round(self.limits.megapixels * 1e6)
            image = read_image(file, most, self.model.value_range)
        except ImageError as error:
            raise ImageError(str(error).replace(str(file), file.name)) from None
        finally:
            file.unlink(missing_ok=True)
        height, width = image.shape[-2:]
        if min(height, width) < 2 or max(height, width) > MOST_ELONGATED * min(height, width):
            raise ImageError(
                f"{file.name} has {width} x {height} pixels; expected at least 2 x 2, and no side "
                f"longer than {MOST_ELONGATED} times the other"
            )
        return image

    def look(self, image: Float[Tensor, "3 h w"], fx: float | None = None) -> Scene:
        """Predicts an image.

        Args:
            image: RGB in [0,1].
            fx: focal length in pixels of this image; None where it is not known.

        Raises:
            TooSlowError: the network took longer than the limit.
        """
        shown = shrink(image, self.limits.shown_pixels)
        height, width = shown.shape[-2:]
        note = ""
        if shown.shape != image.shape:
            note = f"shrunk from {image.shape[-1]} x {image.shape[-2]} pixels"
            fx = None if fx is None else fx * width / image.shape[-1]
        with self._lock:
            started = time.monotonic()
            with deadline(self.model.network, self.limits.seconds):
                prediction = self.model.predict(shown, fx=fx, size=self.size)
                place = self.model.place(height, width, self.size)
                seen = feed(shown[None], place)[0]
                attention = AttentionReader(self.model.network, seen, place.content)
            seconds = time.monotonic() - started
        note = "; ".join(text for text in (note, prediction.remark) if text)
        return Scene(prediction, attention, note, (height // 2, width // 2), seconds)


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
