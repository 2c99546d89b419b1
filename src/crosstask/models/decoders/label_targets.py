"""Every target as class labels: what ATRC's auxiliary heads predict, and their loss.

Source: Bruggemann et al., ATRC, ICCV 2021: depth as 40 logarithmic bins, vectors as 40 directions
(there centroids of the training set; here spread evenly over the hemisphere that faces the
camera), segmentation and edges as they are. Pure functions on tensors; no task objects.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from crosstask.models.layers.full_precision import full_precision

VOID_LABEL = 255


def depth_labels(
    depth: Float[Tensor, "b 1 h w"], bins: int = 40, near: float = 0.7, far: float = 10.0
) -> Int[Tensor, "b h w"]:
    """Index of the logarithmic bin of each depth.

    Args:
        depth: metres; 0 or non-finite is void.
        bins: number of bins between ``near`` and ``far``; depths beyond fall into the end bins.

    Returns:
        Labels in [0, bins), void 255.
    """
    metres = depth[:, 0]
    valid = torch.isfinite(metres) & (metres > 0)
    position = torch.log(torch.where(valid, metres, near) / near) / math.log(far / near)
    labels = (position * bins).floor().long().clamp(0, bins - 1)
    return torch.where(valid, labels, VOID_LABEL)


def facing_directions(count: int, device: torch.device | None = None) -> Float[Tensor, "n 3"]:
    """Unit vectors spread evenly (Fibonacci lattice) over the hemisphere with z < 0.

    Every direction stands for an equal area: z runs through the middles of ``count`` equal slices
    of (-1, 0) while the azimuth advances by the golden angle.
    """
    index = torch.arange(count, device=device, dtype=torch.float64)
    z = -(1 - (index + 0.5) / count)
    radius = (1 - z**2).sqrt()
    azimuth = index * math.pi * (3 - math.sqrt(5))
    directions = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], 1)
    return directions.float()


def normals_labels(
    vectors: Float[Tensor, "b 3 h w"], directions: Float[Tensor, "n 3"]
) -> Int[Tensor, "b h w"]:
    """Index of the nearest of ``directions``; void (a zero vector) gives 255."""
    valid = vectors.square().sum(1) > 0.25
    similarity = torch.einsum("bchw,nc->bnhw", vectors.float(), directions)
    return torch.where(valid, similarity.argmax(1), VOID_LABEL)


def binary_labels(target: Float[Tensor, "b 1 h w"]) -> Int[Tensor, "b h w"]:
    """0 or 1 of a binary map in {0, 1}; void 255 stays."""
    flat = target[:, 0]
    return torch.where(flat == VOID_LABEL, VOID_LABEL, (flat > 0.5).long())


def label_loss(
    logits: Float[Tensor, "b n _ _"],
    labels: Int[Tensor, "b h w"],
    class_weights: Float[Tensor, " n"] | None = None,
    void: int = VOID_LABEL,
) -> Float[Tensor, ""]:
    """Cross-entropy averaged over labelled pixels, in float32; 0 with a gradient where all is void.

    Logits of another size are resized bilinearly to the labels.
    """
    with full_precision(logits.device):
        resized = F.interpolate(logits.float(), size=labels.shape[-2:], mode="bilinear")
        total = F.cross_entropy(
            resized,
            labels,
            weight=class_weights,
            ignore_index=void,
            reduction="sum",
        )
        return total / (labels != void).sum().clamp(min=1)
