"""Axis conventions of stored normals, and the test that finds a wrong one.

Ours: x right, y down, z forward, and the vector faces the camera, so a frontal wall has
(0, 0, -1), a floor (0, -1, 0). Conventions differ by which channel holds which axis, and by signs.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Axes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# For each of our axes: the stored channel and its sign.
CONVENTIONS: Mapping[str, Axes] = {
    "camera": ((0, 1), (1, 1), (2, 1)),
    "nyud": ((0, 1), (1, -1), (2, -1)),  # x right, y up, z to the camera: both multi-task packages
    "eigen": ((0, 1), (2, -1), (1, 1)),  # Eigen & Fergus: RGB = (x, z, -y)
    "ladicky": ((2, 1), (1, 1), (0, 1)),  # Ladicky et al.: RGB = (z, y, x)
}
PERMUTATIONS: tuple[Axes, ...] = tuple(
    ((order[0], signs[0]), (order[1], signs[1]), (order[2], signs[2]))
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
)


def permute_axes(stored: Float[Tensor, "3 *s"], axes: Axes) -> Float[Tensor, "3 *s"]:
    """Take each axis from its channel, with its sign."""
    return torch.stack([stored[channel] * sign for channel, sign in axes])


def to_camera_axes(stored: Float[Tensor, "3 h w"], convention: str) -> Float[Tensor, "3 h w"]:
    """Stored vectors as unit vectors in our axes; shorter than 0.5, or not finite, is "unknown": 0."""
    length = vector_length(stored)
    known = (length > 0.5) & length.isfinite()
    factor = torch.where(known, 1 / length, 0.0)
    planes = [
        torch.where(known, stored[channel] * (factor * sign), 0.0)
        for channel, sign in CONVENTIONS[convention]
    ]
    return torch.stack(planes)


def vector_length(vectors: Float[Tensor, "3 *s"]) -> Float[Tensor, "*s"]:
    """Length by whole planes: ten times faster than a norm over the first axis."""
    x, y, z = vectors.unbind(0)
    return (x * x + y * y + z * z).sqrt()


def axes_text(axes: Axes) -> str:
    """`(x, -y, -z)` for nyud: our axes in terms of the stored channels x, y, z."""
    return "(" + ", ".join(("-" if sign < 0 else "") + "xyz"[c] for c, sign in axes) + ")"


@dataclass(frozen=True)
class AxesReport:
    """Result of `compare_axes`: mean angles in degrees between stored and measured normals."""

    given: Axes
    best: Axes
    given_angle: float
    best_angle: float
    pixels: int

    @property
    def wrong(self) -> bool:
        """Another convention fits clearly better: by 5 degrees and a tenth of the angle."""
        return self.given_angle - self.best_angle > max(5.0, 0.1 * self.given_angle)


def compare_axes(
    stored: Float[Tensor, "3 n"], measured: Float[Tensor, "3 n"], given: Axes
) -> AxesReport:
    """Compare a convention with all 48 signed permutations.

    Args:
        stored: Unit vectors as in the files.
        measured: Unit vectors from the depth of the same pixels, in our axes.
        given: The convention that the reader uses.
    """
    if stored.shape[1] == 0:
        return AxesReport(given, given, float("nan"), float("nan"), 0)
    angles = {}
    for axes in PERMUTATIONS:
        cosine = (permute_axes(stored, axes) * measured).sum(0).clamp(-1, 1)
        angles[axes] = float(cosine.acos().rad2deg().mean())
    best = min(angles, key=lambda axes: angles[axes])
    return AxesReport(given, best, angles[given], angles[best], stored.shape[1])


def paired_normals(
    stored: Float[Tensor, "3 h w"], measured: Float[Tensor, "3 h w"]
) -> tuple[Float[Tensor, "3 n"], Float[Tensor, "3 n"]]:
    """The pixels that have both, as unit vectors."""
    both: Bool[Tensor, "h w"] = (vector_length(stored) > 0.5) & (vector_length(measured) > 0.5)
    pair = stored[:, both], measured[:, both]
    return pair[0] / pair[0].norm(dim=0), pair[1] / pair[1].norm(dim=0)
