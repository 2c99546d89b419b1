"""Collects the parts of a scene and builds all of one kind at once, which is what makes single scenes cheap."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.data.streets.materials import COMMON_TEXTURE, SCALE, WEIGHTS
from crosstask.data.streets.palette import Paints
from crosstask.data.streets.primitives import (
    HullParts,
    Hulls,
    Rounds,
    Shadows,
    ellipsoids,
    rods,
    shadows,
)

_NO_SLOPE = (1.0, 1e4, 0.0)


@dataclass
class Builder:
    """Parts in the order in which they were added; all tensors are (batch, number, ...)."""

    _hulls: list[tuple[Tensor, ...]] = field(default_factory=list)
    _ellipsoids: list[tuple[Tensor, ...]] = field(default_factory=list)
    _rods: list[tuple[Tensor, ...]] = field(default_factory=list)
    _shadows: list[tuple[Tensor, ...]] = field(default_factory=list)

    def add_hulls(
        self,
        base: Float[Tensor, "b n 3"],
        yaw: Float[Tensor, "b n"],
        half: Float[Tensor, "b n 2"],
        height: Float[Tensor, "b n"],
        present: Bool[Tensor, "b n"],
        rows: Float[Tensor, "b n columns"],
        *,
        lean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        slope: Float[Tensor, "b n 3"] | None = None,
    ) -> None:
        """Boxes; see `HullParts`."""
        shape = base.shape
        lean_ = base.new_tensor(lean).expand(shape)
        slope = base.new_tensor(_NO_SLOPE).expand(shape) if slope is None else slope
        self._hulls.append((base, yaw, half, height, lean_, slope, present, rows))

    def add_ellipsoids(
        self,
        center: Float[Tensor, "b n 3"],
        radii: Float[Tensor, "b n 3"],
        yaw: Float[Tensor, "b n"],
        present: Bool[Tensor, "b n"],
        rows: Float[Tensor, "b n columns"],
    ) -> None:
        """Ellipsoids with vertical axis and the given radii along local x, y, z."""
        self._ellipsoids.append((center, radii, yaw, present, rows))

    def add_rods(
        self,
        start: Float[Tensor, "b n 3"],
        end: Float[Tensor, "b n 3"],
        radius: Float[Tensor, "b n"],
        present: Bool[Tensor, "b n"],
        rows: Float[Tensor, "b n columns"],
    ) -> None:
        """Cylinders with flat ends."""
        self._rods.append((start, end, radius, present, rows))

    def add_shadows(
        self,
        center: Float[Tensor, "b n 2"],
        first: Float[Tensor, "b n 2"],
        second: Float[Tensor, "b n 2"],
        present: Bool[Tensor, "b n"],
        *,
        square: bool = False,
        sharpness: float = 3.0,
        sun: float = 1.0,
        sky: float = 0.0,
    ) -> None:
        """Patches on the ground spanned by two half axes in (x, z); see `Shadows`."""
        kind = center.new_tensor((float(square), sharpness, sun, sky)).expand(*present.shape, 4)
        self._shadows.append((center, first, second, kind, present))

    def build(self, paints: Paints) -> tuple[Hulls, Rounds, Shadows]:
        """Everything that was added, with colours developed to linear RGB."""
        *boxes, present, rows = _join(self._hulls)
        hulls = HullParts(*boxes).build(present, _develop(rows, paints))
        start, end, radius, of_rods, rod_rows = _join(self._rods)
        center, radii, yaw, of_balls, ball_rows = _join(self._ellipsoids)
        matrices, corners = rods(start, end, radius)
        axes, boxes_ = ellipsoids(center, radii, yaw)
        rounds = Rounds(
            torch.cat(((start + end) / 2, center), dim=1),
            torch.cat((matrices, axes), dim=1),
            torch.cat((torch.zeros_like(radius), torch.ones_like(yaw)), dim=1),
            torch.cat((corners, boxes_), dim=1),
            torch.cat((of_rods, of_balls), dim=1),
            _develop(torch.cat((rod_rows, ball_rows), dim=1), paints),
        )
        return hulls, rounds, shadows(*_join(self._shadows))


def _join(parts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [torch.cat(columns, dim=1) for columns in zip(*parts, strict=True)]


def _develop(rows: Tensor, paints: Paints) -> Tensor:
    weights, common = rows[..., WEIGHTS], rows.new_tensor(COMMON_TEXTURE)
    weights = torch.lerp(weights, common.expand_as(weights), paints.mingle[:, None, None])
    return torch.cat((paints.develop(rows[..., :9]), weights, rows[..., SCALE:]), dim=-1)
