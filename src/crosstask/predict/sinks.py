"""Where predicted frames go: the files of an image each, or videos."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from crosstask.drawing.legends import INK, PAPER, font, shorten, to_image
from crosstask.media.files import atomic_path
from crosstask.media.video import VideoWriter
from crosstask.predict.model import SceneModel
from crosstask.predict.prediction import Prediction
from crosstask.predict.writing import is_finished, write_prediction
from crosstask.tasks import Task

FORMATS = ("side-by-side", "per-task", "files")
_CELL, _GAP, _HEAD = 640, 8, 26


class FrameFiles:
    """A frame is written as an image is."""

    def __init__(
        self, model: SceneModel, folder: Path, name: str, made: Mapping[str, Any] | None = None
    ) -> None:
        self.model, self.folder, self.name, self.made = model, folder, name, made
        self.files: list[Path] = []

    def _stem(self, number: int) -> str:
        return f"{self.name}_{number:06d}"

    def has(self, number: int) -> bool:
        """Whether the frame is written, of the same video and under the same settings (`made_from`)."""
        return is_finished(self.folder / f"{self._stem(number)}.json", self.made or {})

    def write(self, number: int, prediction: Prediction) -> None:
        stem = self._stem(number)
        written = write_prediction(prediction, self.model, self.folder, stem, self.made)
        self.files = self.files or [written[-2]]

    def facts(self) -> dict[str, Any]:
        return {}


class FrameVideos:
    """One video of everything, or one of each task; depth keeps the first frame's colour scale."""

    def __init__(
        self,
        model: SceneModel,
        folder: Path,
        name: str,
        rate: float,
        joined: bool,
        stack: ExitStack,
        numbered: bool = False,
    ) -> None:
        """Opens nothing yet.

        Args:
            rate: frames a second.
            joined: one video of everything.
            stack: closes the videos; they appear under their names then.
            numbered: a frame's number is its time, and numbers may be left out.
        """
        self.tasks, self.rate, self.joined, self.stack = model.tasks, rate, joined, stack
        self.numbered = numbered
        stems = ["side_by_side"] if joined else [task.name for task in model.tasks]
        self.files = [folder / f"{name}_{stem}.mp4" for stem in stems]
        self.writers: list[VideoWriter] = []
        self.scales: dict[str, dict[str, float]] = {}

    def _open(self, prediction: Prediction) -> None:
        self.scales = {t.name: t.color_scale(prediction[t.name]) for t in self.tasks}
        for file in self.files:
            place = self.stack.enter_context(atomic_path(file))
            self.writers.append(self.stack.enter_context(VideoWriter(place, self.rate, "mp4")))

    def write(self, number: int, prediction: Prediction) -> None:
        if not self.writers:
            self._open(prediction)
        images = [t.colorize(prediction[t.name], **self.scales[t.name]) for t in self.tasks]
        if self.joined:
            heads = [_heading(t, self.scales[t.name], prediction) for t in self.tasks]
            image = (prediction.image.clamp(0, 1) * 255).round().to(torch.uint8)
            images = [mosaic([image, *images], ["image", *heads])]
        for writer, image in zip(self.writers, images, strict=True):
            writer.write(image, number if self.numbered else None)

    def facts(self) -> dict[str, Any]:
        return {"color_scale": {k: v for k, v in self.scales.items() if v}}


def _heading(task: Task, scale: dict[str, float], prediction: Prediction) -> str:
    name = task.name.replace("_", " ")
    told = task.heading(scale, prediction.kind(task))
    return f"{name}: {told}" if told else name


def mosaic(
    images: list[UInt8[Tensor, "3 h w"]], titles: list[str]
) -> UInt8[Tensor, "3 height width"]:
    """Images of one size in a grid as near to 16:9 as can be, a title over each."""
    factor = min(1.0, _CELL / max(images[0].shape[1:]))
    height, width = (max(2, round(n * factor)) for n in images[0].shape[1:])
    columns = min(
        range(1, len(images) + 1),
        key=lambda c: abs(np.log(9 / 16 * c * width / (-(-len(images) // c) * (height + _HEAD)))),
    )
    rows = -(-len(images) // columns)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _HEAD) + _GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, (image, title) in enumerate(zip(images, titles, strict=True)):
        left, top = _GAP + k % columns * (width + _GAP), k // columns * (height + _HEAD)
        text = shorten(title, 14, width)
        draw.text((left, top + _HEAD / 2), text, fill=INK, font=font(14), anchor="lm")
        shown = to_image(image)
        if factor < 1:
            shown = shown.resize((width, height), Image.Resampling.BILINEAR)
        sheet.paste(shown, (left, top + _HEAD))
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1).contiguous()
