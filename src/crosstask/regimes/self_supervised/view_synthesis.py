"""The photometric loss's settings, and one target rebuilt from its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.geometry.photometric import (
    Reprojection,
    SourceRule,
    combine_sources,
    photometric_error,
    warp,
)
from crosstask.regimes.self_supervised.scale import KnownScale

Number = float | int
Batch = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SelfSupervision:
    """How depth and motion learn from neighbouring frames (Monodepth2; DenseMTL, Table 5).

    Args:
        offsets: of the neighbours in the sample, in its order: -1 the frame before, +1 after.
        rule: "minimum" of the source frames' errors per pixel, or their "mean".
        auto_mask: leave out pixels that an unwarped source frame explains better.
        border: "count" pixels that leave the source image (its border is repeated, as published)
            or "ignore" that source there.
        ssim_weight: share of SSIM in the error; the rest is the absolute difference.
        smoothness: weight of edge-aware smoothness at full size, halved at each coarser level.
        feature_distance: weight of the distance between the encoder's features and those of the
            encoder as it was created (ImageNet's); 0 is off.
        scale: a known length, if any.
        refinement: refines the pose network's motions against the images; None: they are taken as
            they are, as published.
        refine_from: optimiser step from which on motions are refined under the predicted depth, from
            the pose network's answer; before it under the depth of a level ground, from standing still.
    """

    offsets: tuple[int, ...] = (-1, 1)
    rule: SourceRule = "minimum"
    auto_mask: bool = True
    border: Literal["count", "ignore"] = "count"
    ssim_weight: Number = 0.85
    smoothness: Number = 1e-3
    feature_distance: Number = 0.0
    scale: KnownScale = field(default_factory=KnownScale)
    refinement: DirectAlignment | None = None
    refine_from: int = 200

    def __post_init__(self) -> None:
        if not self.offsets or 0 in self.offsets:
            raise ValueError(
                f"`offsets` is {self.offsets}; expected frames before or after, such as (-1, 1)"
            )
        if self.rule not in ("minimum", "mean"):
            raise ValueError(f"`rule` is {self.rule!r}; expected 'minimum' or 'mean'")
        if self.border not in ("count", "ignore"):
            raise ValueError(f"`border` is {self.border!r}; expected 'count' or 'ignore'")
        if not 0 <= self.ssim_weight <= 1:
            raise ValueError(f"`ssim_weight` is {self.ssim_weight}; expected a share in [0, 1]")
        if self.smoothness < 0 or self.feature_distance < 0:
            raise ValueError("`smoothness` and `feature_distance` are weights; expected 0 or more")
        if self.refine_from < 0:
            raise ValueError(f"`refine_from` is {self.refine_from}; expected a step, 0 or more")

    def refined(self, batch: Batch, depth: Tensor, poses: Tensor) -> Tensor:
        """`poses` (B,K,4,4) after the refinement under `depth`; as they are without one."""
        if self.refinement is None:
            return poses
        target, neighbours = batch["image"].float(), batch["neighbours"].float()
        return self.refinement.refine(target, neighbours, depth, poses, batch["intrinsics"])


class Synthesis(NamedTuple):
    """What the panels show of one depth map: (B,K,3,H,W) views and (B,1,H,W) maps.

    Attributes:
        warped: each neighbour seen from the target's camera.
        before: error of the unwarped neighbours, combined by the rule.
        after: error of the warped ones, combined by the rule, without auto-mask.
        moving: the auto-mask, True where a pixel teaches.
        depth: the depth map.
    """

    warped: Tensor
    before: Tensor
    after: Tensor
    moving: Tensor
    depth: Tensor


def check_batch(batch: Batch, offsets: Sequence[int]) -> None:
    """Raises `ValueError` for a batch that is not a sequence with known cameras."""
    if "neighbours" not in batch:
        raise ValueError(
            "the batch has no `neighbours`; expected sequences: give the dataset the modality "
            "'neighbours'"
        )
    count = batch["neighbours"].shape[1]
    if count != len(offsets):
        raise ValueError(
            f"`neighbours` has {count} frames, `offsets` is {tuple(offsets)}; expected one offset for "
            "each; give the dataset and the regime the same offsets"
        )
    if batch["neighbours"].shape[-2:] != batch["image"].shape[-2:]:
        raise ValueError(
            f"`neighbours` are {tuple(batch['neighbours'].shape[-2:])}, the image is "
            f"{tuple(batch['image'].shape[-2:])}; expected one size; transform them together"
        )
    focal = batch["intrinsics"][:, 0, 0]
    if focal.device.type == "cpu" and not bool((focal > 0).all()):
        raise ValueError(
            "a sample has no known camera (focal length 0); the self-supervised regime needs "
            "`intrinsics`: give the dataset fx,fy,cx,cy in pixels, for example in intrinsics.txt"
        )


def enlarge(value: Tensor, size: Sequence[int]) -> Tensor:
    """A map of stride s brought to full size, bilinear; what covers padding is cut off."""
    height, width = size
    if tuple(value.shape[-2:]) == (height, width):
        return value
    rows, columns = -(-height // value.shape[-2]), -(-width // value.shape[-1])
    full = (value.shape[-2] * rows, value.shape[-1] * columns)
    full_value = F.interpolate(value, size=full, mode="bilinear", align_corners=False)
    return full_value[..., :height, :width]


def identity_errors(target: Tensor, neighbours: Tensor, settings: SelfSupervision) -> Tensor:
    """(B,K,H,W) errors of the unwarped neighbours."""
    weight = float(settings.ssim_weight)
    return torch.cat([photometric_error(n, target, weight) for n in neighbours.unbind(1)], dim=1)


def reproject(
    target: Tensor,
    neighbours: Tensor,
    depth: Tensor,
    poses: Tensor,
    intrinsics: Tensor,
    settings: SelfSupervision,
    identity: Tensor | None,
) -> tuple[Tensor, Reprojection]:
    """Warped neighbours (B,K,3,H,W), and their combined error; with auto-mask where `identity` is given."""
    pairs = zip(neighbours.unbind(1), poses.unbind(1), strict=True)
    views = [warp(neighbour, depth, pose, intrinsics) for neighbour, pose in pairs]
    weight = float(settings.ssim_weight)
    errors = torch.cat([photometric_error(view.image, target, weight) for view in views], dim=1)
    visible = torch.cat([view.visible for view in views], dim=1)
    if settings.border == "count":
        visible = torch.ones_like(visible)
    result = combine_sources(errors, visible, settings.rule, identity)
    return torch.stack([view.image for view in views], dim=1), result


def synthesise(batch: Batch, depth: Tensor, poses: Tensor, settings: SelfSupervision) -> Synthesis:
    """The target of a batch rebuilt with a depth map (B,1,H,W) and motions (B,K,4,4), source <- target."""
    target, neighbours = batch["image"].float(), batch["neighbours"].float()
    parts = (target, neighbours, depth, poses, batch["intrinsics"], settings)
    identity = identity_errors(target, neighbours, settings)
    warped, after = reproject(*parts, None)
    _, masked = reproject(*parts, identity)
    before = combine_sources(identity, torch.ones_like(identity, dtype=torch.bool), settings.rule)
    # A pixel that no source shows keeps its unwarped error: losing sight of it explains nothing.
    error = torch.where(after.counted, after.error, before.error)
    return Synthesis(warped, before.error, error, masked.moving, depth)
