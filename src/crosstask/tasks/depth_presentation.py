"""How depth is shown: metres in tables, files, colours and words."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from crosstask.media.colormap import VOID_COLOR, scale_colors
from crosstask.tasks.camera import UP_TO_SCALE
from crosstask.tasks.presentation import PERCENT, PLAIN, Measure, PredictionFile, Presentation

PNG_PER_METRE = 256.0
"""Units a metre of depth PNGs, as KITTI's."""
METRIC_DEPTH = ("rmse", "abs_rel", "delta1")
MEASURES: Mapping[str, Measure] = {
    "rmse": Measure("RMSE", "m", 3),
    **dict.fromkeys(("rmse_image", "sq_rel", "mean", "std"), Measure(unit="m")),
    **dict.fromkeys(("abs_rel", "log_rmse", "ratio_mean", "ratio_std"), PLAIN),
    **dict.fromkeys(("delta1", "delta2", "delta3"), PERCENT),
}


class DepthPresentation(Presentation):
    """Depth in metres, or up to scale where `kind` says so; void 0."""

    unit: ClassVar[str] = "metres along the optical axis"
    letter: ClassVar[str] = "D"
    table_place: ClassVar[int] = 1
    measures: ClassVar[Mapping[str, Measure]] = MEASURES
    legend_note: ClassVar[str] = "bright: near, dark: far"
    log_colors: ClassVar[bool] = True

    def unit_of(self, kind: str) -> str:
        return "up to scale, along the optical axis" if kind == UP_TO_SCALE else self.unit

    def scale_label(self, kind: str | None = None) -> str:
        return UP_TO_SCALE if kind == UP_TO_SCALE else "metres"

    def heading(self, scale: Mapping[str, float], kind: str) -> str:
        if kind != UP_TO_SCALE and {"low", "high"} <= {*scale}:
            return f"bright {scale['low']:.1f} m, dark {scale['high']:.0f} m"
        return f"bright is near, {UP_TO_SCALE}" if kind == UP_TO_SCALE else self.legend_note

    def describe(self, value: Shaped[Tensor, "*c"], kind: str) -> str:
        unit = f"({UP_TO_SCALE})" if kind == UP_TO_SCALE else "m"
        return f"{float(value.reshape(-1)[0]):.2f} {unit}"

    def files(self, value: Float[Tensor, "*one h w"], kind: str) -> list[PredictionFile]:
        """Float metres, and a 16-bit PNG of 1/256 m; named `up_to_scale` where they are no metres."""
        depth = value.detach().cpu().float().reshape(value.shape[-2:])
        base = "_up_to_scale" if kind == UP_TO_SCALE else ""
        coded = (depth * PNG_PER_METRE).round().clamp(0, 65535).to(torch.int32).numpy()
        text = {"scale": str(1 / PNG_PER_METRE), "unit": self.scale_label(kind), "void": "0"}
        return [
            PredictionFile(f"{base}.npy", depth.numpy()),
            PredictionFile(f"{base}.png", coded.astype("uint16"), text | {"kind": kind}),
        ]

    def color_scale(self, *values: Float[Tensor, "*v"]) -> dict[str, float]:
        """`low` and `high` of the first map that has any depth."""
        for value in values:
            if bool((torch.isfinite(value) & (value > 0)).any()):
                low, high = depth_range(value)
                return {"low": low, "high": high}
        return {}

    def colorize(
        self,
        value: Float[Tensor, "*one h w"],
        low: float | None = None,
        high: float | None = None,
        **scale: Any,
    ) -> UInt8[Tensor, "3 h w"]:
        """Bright is near, dark is far, logarithmic between `low` and `high` metres.

        Args:
            low, high: ends of the scale; by default those of the image itself.
        """
        depth = value.detach().reshape(value.shape[-2:]).float().cpu()
        valid = torch.isfinite(depth) & (depth > 0)
        own_low, own_high = depth_range(depth)
        low, high = low or own_low, high or own_high
        span = max(math.log(high / low), 1e-6)
        position = (torch.where(valid, depth, low) / low).log() / span
        void = torch.tensor(VOID_COLOR, dtype=torch.uint8).view(3, 1, 1)
        return torch.where(valid, scale_colors(position), void)


def depth_range(depth: Float[Tensor, "*s"]) -> tuple[float, float]:
    """1st and 99th percentile of the labelled depths, for a colour scale; (1, 80) without any."""
    values = depth[torch.isfinite(depth) & (depth > 0)].float().cpu().sort().values
    if len(values) == 0:
        return 1.0, 80.0
    low = float(values[int(0.01 * (len(values) - 1))])
    high = float(values[int(0.99 * (len(values) - 1))])
    return low, max(high, low * 1.01)
