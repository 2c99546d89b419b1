"""How a task appears: in tables, files, legends, headings and words."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Num, Shaped, UInt8
from torch import Tensor

if TYPE_CHECKING:
    from crosstask.tasks.classes import ClassTable


@dataclass(frozen=True)
class Measure:
    """How a metric is written.

    Args:
        title: in tables; empty for "TASK METRIC".
        unit: "m", "°", "%" (of a fraction), "" for a plain number; None where nothing is known:
            numbers between 0 and 1 are then taken for fractions.
        digits: after the point, in comparison tables.
    """

    title: str = ""
    unit: str | None = None
    digits: int = 3

    @property
    def factor(self) -> float:
        """What a value of metrics.json is multiplied with in a table."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def axis(self) -> str:
        """The unit behind a plotted value of metrics.json, with its brackets."""
        return f" ({self.unit})" if self.unit and self.unit != "%" else ""

    def text(self, value: float | None) -> str:
        """A value with its unit; a dash where there is no number."""
        if value is None or not math.isfinite(value):
            return "–"
        if self.unit == "%" or (self.unit is None and 0 <= value <= 1):
            return f"{100 * value:.1f} %"
        if self.unit == "°":
            return f"{value:.1f}°"
        return f"{value:.2f} {self.unit}" if self.unit else f"{value:.3f}"


PERCENT = Measure(unit="%", digits=2)
PLAIN = Measure(unit="")


@dataclass(frozen=True)
class PredictionFile:
    """One file of a prediction.

    Args:
        ending: what follows STEM_TASK: ".npy", "_up_to_scale.png".
        array: for .npy as it is; for .png (H,W) uint8 or uint16, or (H,W,3) uint8.
        text: text chunks of a PNG.
    """

    ending: str
    array: np.ndarray
    text: Mapping[str, str] = field(default_factory=dict)


class Presentation(ABC):
    """Fields and methods of a task that say how it is shown. The defaults fit any map of numbers."""

    name: str
    headline: ClassVar[str]
    higher_is_better: ClassVar[bool]

    unit: ClassVar[str] = ""
    """What a decoded value is, in words."""
    letter: ClassVar[str] = ""
    """Short name in tables (S, D, N, E); empty for the task's name."""
    table_place: ClassVar[int] = 100
    """Order of the columns in tables: small numbers first; equal ones in the order given."""
    measures: ClassVar[Mapping[str, Measure]] = {}
    """How the metrics are written, by name."""
    main_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics that a summary shows; the first three if empty."""
    further_headlines: ClassVar[tuple[str, ...]] = ()
    """Metrics that are compared as the headline is (same direction), where a run has them."""
    legend_note: ClassVar[str] = ""
    """What the colours of `colorize` mean, where a line of text says it."""
    log_colors: ClassVar[bool] = False
    """Whether colours between `low` and `high` of `color_scale` are logarithmic."""
    vectors: ClassVar[bool] = False
    """Whether values are unit vectors (x right, y down, z forward): their legend is a ball."""
    smooth: ClassVar[bool] = False
    """Whether a drawing may blend neighbouring colours when it is resized."""

    @property
    def class_table(self) -> "ClassTable | None":
        """Names and colours of the classes, for values that are class indices."""
        return None

    def measure(self, metric: str) -> Measure:
        """How a metric is written; of "median_scaled/rmse" as of "rmse", without its title."""
        if metric in self.measures:
            return self.measures[metric]
        return replace(self.measures.get(metric.rsplit("/", 1)[-1], Measure()), title="")

    def column_title(self, metric: str) -> str:
        """Title of a metric's column, with its unit and which direction is better."""
        known = self.measure(metric)
        better = "↑" if self.higher_is_better else "↓"
        return " ".join(filter(None, (known.title or f"{self.name} {metric}", known.unit, better)))

    @abstractmethod
    def colorize(self, value: Num[Tensor, "*v"], **scale: Any) -> UInt8[Tensor, "3 h w"]:
        """An image of one decoded prediction or target (without batch axis); void is dark grey."""

    def color_scale(self, *values: Num[Tensor, "*v"]) -> dict[str, float]:
        """Options of `colorize` under which images of all these maps can be compared.

        With `low` and `high` the legend is a bar between both.
        """
        return {}

    def unit_of(self, kind: str) -> str:
        """The unit of a prediction of this kind, see `Task.kind_of`."""
        return self.unit

    def scale_label(self, kind: str | None = None) -> str:
        """The unit below a colour bar; without a kind that of the targets."""
        return self.unit

    def heading(self, scale: Mapping[str, float], kind: str) -> str:
        """What the colours of a video's frame mean, in a few words."""
        return self.legend_note

    def describe(self, value: Shaped[Tensor, "*c"], kind: str) -> str:
        """The value of one pixel (a class index, or one number a channel) in words."""
        numbers = ", ".join(f"{float(number):.2f}" for number in value.reshape(-1))
        return f"{numbers} {self.unit_of(kind)}".strip()

    def files(self, value: Shaped[Tensor, "*v"], kind: str) -> list[PredictionFile]:
        """A prediction (without batch axis) as files: its numbers, and an image of them."""
        numbers = value.detach().cpu()
        if numbers.is_floating_point():
            numbers = numbers.float()
        colors = self.colorize(value, **self.color_scale(value)).permute(1, 2, 0).cpu().numpy()
        return [PredictionFile(".npy", numbers.numpy()), PredictionFile(".png", colors)]


def probability_file(value: Num[Tensor, "*one h w"]) -> list[PredictionFile]:
    """A map of probabilities as an 8-bit image."""
    map_ = value.detach().cpu().float().reshape(value.shape[-2:])
    coded = (map_ * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return [PredictionFile(".png", coded, {"unit": "probability * 255"})]
