"""Masked pixel losses as pure functions.

Each returns `(sum, weight)`: the loss summed over the pixels that count, and what to divide by
(their number, or the sum of their weights). Both are float32 scalars, so that a caller can
normalise over several levels, accumulated batches or processes. Void pixels never count.
"""

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Terms = tuple[Float[Tensor, ""], Float[Tensor, ""]]


def precise(x: Tensor) -> Tensor:
    """At least float32, whatever autocast says; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def mean(terms: tuple[Tensor, Tensor]) -> Float[Tensor, ""]:
    """Sum over weight; 0 with a zero gradient where nothing counts."""
    total, weight = terms
    return total / torch.where(weight > 0, weight, torch.ones_like(weight))


def cross_entropy(
    logits: Float[Tensor, "b k h w"],
    target: Int[Tensor, "b h w"],
    void: int = 255,
    weights: Float[Tensor, "k"] | None = None,
) -> Terms:
    """Softmax cross-entropy over the labelled pixels (DenseMTL, section 3.3, without class weights).

    Args:
        weights: of the classes; the loss is then divided by the labelled pixels' weights.
    """
    total = F.cross_entropy(precise(logits), target, weights, ignore_index=void, reduction="sum")
    return total, labelled_weight(target, void, weights)


def labelled_weight(
    target: Int[Tensor, "b h w"], void: int = 255, weights: Float[Tensor, "k"] | None = None
) -> Float[Tensor, ""]:
    """Number of labelled pixels, or the sum of their classes' weights."""
    valid = target != void
    if weights is None:
        return valid.sum().float()
    return torch.where(valid, weights[torch.where(valid, target, 0)], 0.0).sum()


def focal(
    logits: Float[Tensor, "b k h w"],
    target: Int[Tensor, "b h w"],
    void: int = 255,
    weights: Float[Tensor, "k"] | None = None,
) -> Terms:
    """Focal loss (Lin et al., ICCV 2017) with gamma 2, kornia's: pixels that are right count less."""
    from kornia.losses import focal_loss

    total = focal_loss(
        precise(logits), target, None, gamma=2.0, reduction="sum", weight=weights, ignore_index=void
    )
    return total, labelled_weight(target, void, weights)


def dice(
    logits: Float[Tensor, "b k h w"],
    target: Int[Tensor, "b h w"],
    void: int = 255,
    weights: Float[Tensor, "k"] | None = None,
) -> Terms:
    """Soft Dice loss (Milletari et al., 3DV 2016), kornia's: mean over classes and labelled images.

    A ratio of sums over an image, so it is no sum over pixels: parts of a step (accumulated batches,
    processes) are averaged by their labelled pixels.
    """
    from kornia.losses import dice_loss

    number = labelled_weight(target, void, weights)
    labelled = (target != void).flatten(1).any(1)
    if not bool(labelled.any()):
        return precise(logits).sum() * 0, number
    ratio = dice_loss(
        precise(logits)[labelled],
        target[labelled],
        average="macro",
        weight=weights,
        ignore_index=void,
    )
    return ratio * number, number


def cross_entropy_dice(
    logits: Float[Tensor, "b k h w"],
    target: Int[Tensor, "b h w"],
    void: int = 255,
    weights: Float[Tensor, "k"] | None = None,
) -> Terms:
    """Sum of both."""
    total, number = cross_entropy(logits, target, void, weights)
    return total + dice(logits, target, void, weights)[0], number


SEGMENTATION = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "cross_entropy_dice": cross_entropy_dice,
}


def _log_odds(logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """One channel as it is, the second minus the first of two."""
    logits = precise(logits)
    return logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits


def edge_cross_entropy(
    logits: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    positive_weight: float,
) -> Terms:
    """Two-class cross-entropy with weights (1 - w, w) for background and edge.

    With two channels the log-odds of an edge are their difference, with one the channel itself:
    softmax and sigmoid cross-entropy are then the same function.
    """
    edge = (valid & (target > 0.5)).float()
    weight = torch.where(valid, edge * positive_weight + (1 - edge) * (1 - positive_weight), 0.0)
    odds = torch.where(valid, _log_odds(logits), 0.0)
    error = F.binary_cross_entropy_with_logits(odds, edge, reduction="none")
    return (weight * error).sum(), weight.sum()


def balanced_cross_entropy(
    logits: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    positive_weight: float | None = None,
) -> Terms:
    """Class-balanced binary cross-entropy, divided by the number of labelled pixels.

    Two channels count by their difference. Positives weigh `positive_weight`, by default the batch's share of negatives (HED, Xie and Tu,
    ICCV 2015; saliency of ASTMT, MTI-Net and SCA-MTL); negatives weigh one minus it.
    """
    positive = (valid & (target > 0.5)).float()
    number = valid.sum().float()
    share = 1 - positive.sum() / number.clamp_min(1)
    if positive_weight is not None:
        share = torch.full_like(share, positive_weight)
    weight = torch.where(valid, positive * share + (1 - positive) * (1 - share), 0.0)
    odds = torch.where(valid, _log_odds(logits), 0.0)
    error = F.binary_cross_entropy_with_logits(odds, positive.to(odds.dtype), reduction="none")
    return (weight * error).sum(), number


def berhu_threshold(
    error: Float[Tensor, "*shape"], fraction: float = 0.2, floor: float = 1e-6
) -> Float[Tensor, ""]:
    """Where berHu turns quadratic: `fraction` of the largest error, a constant for the gradient.

    Under `torch.distributed` the largest error of all processes counts. The floor keeps the
    gradient finite where every error is zero.
    """
    largest = error.detach().max() if error.numel() else error.new_zeros(())
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return (fraction * largest).clamp_min(floor)


def berhu(
    prediction: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    threshold: float | None = None,
) -> Terms:
    """Reverse Huber loss (Laina et al., 3DV 2016): |e| up to c, (e^2 + c^2) / 2c beyond.

    Args:
        threshold: c. None takes 0.2 times the largest error of the batch.
    """
    error = torch.where(valid, precise(target) - precise(prediction), 0.0).abs()
    if threshold is None:
        limit = berhu_threshold(error)
    else:
        limit = error.new_tensor(threshold)
    value = torch.where(error <= limit, error, (error * error + limit * limit) / (2 * limit))
    return value.sum(), valid.sum().float()


def absolute(
    prediction: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    valid: Bool[Tensor, "b 1 h w"],
) -> Terms:
    """L1 distance summed over channels, per labelled pixel."""
    error = torch.where(valid, precise(target) - precise(prediction), 0.0).abs()
    return error.sum(), valid.sum().float()


def cosine_distance(
    prediction: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    valid: Bool[Tensor, "b 1 h w"],
) -> Terms:
    """1 - cos of the angle between two vector fields; neither needs unit length."""
    a = F.normalize(torch.where(valid, precise(prediction), 1.0), dim=1)
    b = F.normalize(torch.where(valid, precise(target), 1.0), dim=1)
    distance = torch.where(valid, 1 - (a * b).sum(1, keepdim=True), 0.0)
    return distance.sum(), valid.sum().float()
