"""Errors of metric depth."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.metrics.metric import TaskMetric, ratio

_NAMES = ("rmse", "abs_rel", "sq_rel", "log_rmse", "delta1", "delta2", "delta3")
_BINS = 32


class DepthMetric(TaskMetric):
    """Depth errors, pooled over the pixels of the dataset unless named otherwise.

    `rmse` (m), `log_rmse` (natural logarithm), `abs_rel` = mean |p - t| / t, `sq_rel` = mean
    (p - t)^2 / t (m), `delta1..3` = share of max(p/t, t/p) below 1.25, 1.25^2, 1.25^3 (Eigen et
    al., NIPS 2014); `rmse_image` = square root of the mean over images of the mean squared error.
    Labels count inside [near, far]; predictions are clamped to it.

    With protocol "released" every number follows the code published with DenseMTL: truth and
    prediction are z' = z - 0.99 m (its faulty inverse; `Depth.decode` returns z'), labels count
    inside near < z' < far, every number is the mean over images of the mean over pixels, and
    `rmse` is the square root of the mean over images. An image without a label does not count.

    Args:
        near, far: metres.
        median_scaling: adds `median_scaled/...` of predictions multiplied, image by image, by
            median(truth) / median(prediction); `median_scaled/ratio_mean` and `_std` say how the
            scale varies.
        protocol: "correct" or "released".
    """

    pixels: Tensor
    images: Tensor
    pooled: Tensor
    per_image: Tensor
    ratios: Tensor
    bin_counts: Tensor
    bin_squares: Tensor
    bin_relative: Tensor

    def __init__(
        self,
        near: float = 1e-3,
        far: float = 80.0,
        median_scaling: bool = False,
        protocol: str = "correct",
    ) -> None:
        super().__init__()
        self.near, self.far = near, far
        self.median_scaling, self.protocol = median_scaling, protocol
        kinds = 2 if median_scaling else 1
        self.add_counts(pixels=(), images=(), bin_counts=(_BINS,))
        self.add_sums(pooled=(kinds, 7), per_image=(kinds, 7), ratios=(2,))
        self.add_sums(bin_squares=(_BINS,), bin_relative=(_BINS,))

    def update(
        self, prediction: Float[Tensor, "b 1 h w"], target: Float[Tensor, "b 1 h w"]
    ) -> None:
        """Decoded depth and truth in metres."""
        for guess, truth in zip(prediction, target, strict=True):
            valid = torch.isfinite(truth) & (truth > 0)
            if self.protocol == "released":
                truth = truth - 0.99
                valid &= (truth > self.near) & (truth < self.far)
            else:
                valid &= (truth >= self.near) & (truth <= self.far)
            self._add_image(guess, truth, valid)

    def _add_image(
        self,
        guess: Float[Tensor, "1 h w"],
        truth: Float[Tensor, "1 h w"],
        valid: Bool[Tensor, "1 h w"],
    ) -> None:
        p, t = guess[valid].double(), truth[valid].double()
        if len(t) == 0:
            return
        self.pixels += len(t)
        self.images += 1
        errors = [self._errors(p, t)]
        if self.median_scaling:
            scale = t.median() / p.median()
            self.ratios += torch.stack([scale, scale * scale])
            errors.append(self._errors(p * scale, t))
        sums = torch.stack([e.sum(1) for e in errors])
        self.pooled += sums
        self.per_image += sums / len(t)
        self._add_bins(errors[0], t)

    def _errors(self, p: Float[Tensor, " n"], t: Float[Tensor, " n"]) -> Float[Tensor, "7 n"]:
        """Per pixel, in the order of `_NAMES`; squared where a root is taken at the end."""
        p = p.clamp(self.near, self.far)
        difference = (p - t).abs()
        factor = torch.maximum(p / t, t / p)
        inside = [(factor < 1.25**k).double() for k in (1, 2, 3)]
        log = (p.log() - t.log()).square()
        return torch.stack([difference**2, difference / t, difference**2 / t, log, *inside])

    def _add_bins(self, errors: Float[Tensor, "7 n"], t: Float[Tensor, " n"]) -> None:
        position = (t / self._bin_start()).log() / math.log(self.far / self._bin_start())
        index = (position * _BINS).long().clamp(0, _BINS - 1)
        self.bin_counts += torch.bincount(index, minlength=_BINS)
        self.bin_squares += torch.zeros_like(self.bin_squares).index_add_(0, index, errors[0])
        self.bin_relative += torch.zeros_like(self.bin_relative).index_add_(0, index, errors[1])

    def _bin_start(self) -> float:
        return max(self.near, self.far / 200)

    def compute(self) -> dict[str, Tensor]:
        values = self._values(0)
        if self.median_scaling:
            values |= {f"median_scaled/{name}": v for name, v in self._values(1).items()}
            mean, square = ratio(self.ratios, self.images)
            values["median_scaled/ratio_mean"] = mean
            values["median_scaled/ratio_std"] = (square - mean * mean).clamp_min(0).sqrt()
        return values

    def _values(self, kind: int) -> dict[str, Tensor]:
        pooled, per_image = (
            ratio(self.pooled[kind], self.pixels),
            ratio(self.per_image[kind], self.images),
        )
        means = per_image if self.protocol == "released" else pooled
        values = dict(zip(_NAMES, means.unbind(), strict=True))
        for name in ("rmse", "log_rmse"):
            values[name] = values[name].sqrt()
        values["rmse_image"] = per_image[0].sqrt()
        return values

    def details(self) -> dict[str, Any]:
        """Error by distance: `edges` (m) of logarithmic bins, `pixels`, `rmse`, `abs_rel`.

        A bin without pixels has None.
        """
        start = self._bin_start()
        edges = [start * (self.far / start) ** (k / _BINS) for k in range(_BINS + 1)]
        rmse = ratio(self.bin_squares, self.bin_counts).sqrt()
        relative = ratio(self.bin_relative, self.bin_counts)
        return {
            "edges": edges,
            "pixels": self.bin_counts.tolist(),
            "rmse": [None if v != v else v for v in rmse.tolist()],
            "abs_rel": [None if v != v else v for v in relative.tolist()],
        }
