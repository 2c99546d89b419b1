"""View synthesis and its losses: depth and motion learned from video (SfMLearner, Monodepth2).

Pure functions on tensors. A pixel of the target frame is lifted with the predicted depth, moved with
the predicted motion into a source frame, and the colour found there must agree with its own.

Conventions: images RGB in [0, 1]; depth in metres along the optical axis; intrinsics in pixels with
integer coordinates at pixel centres; a pose (4 x 4) maps points of the *target* camera to the
*source* camera (source <- target), the direction in which pixels are looked up.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.geometry.conversions import axis_angle_to_rotation_matrix
from torch import Tensor

from crosstask.geometry.pinhole import project, unproject
from crosstask.losses import precise

SourceRule = Literal["minimum", "mean"]
MINIMUM_DEPTH = 1e-3  # metres: nearer than this, or behind the camera, a point is not seen


class Warped(NamedTuple):
    """A source frame seen from the target camera.

    Attributes:
        image: (B,C,H,W), the source sampled bilinearly, its border repeated outside.
        visible: (B,1,H,W), True where the point lies before the source camera and inside its image.
        depth: (B,1,H,W), metres of the target's points along the *source* camera's optical axis.
    """

    image: Tensor
    visible: Tensor
    depth: Tensor


def pose_matrix(
    axis_angle: Float[Tensor, "b 3"], translation: Float[Tensor, "b 3"]
) -> Float[Tensor, "b 4 4"]:
    """Rigid motion from axis-angle (radians) and translation (metres): ``p -> R p + t``; float32."""
    with torch.autocast(axis_angle.device.type, enabled=False):
        rotation = axis_angle_to_rotation_matrix(axis_angle.float())
    upper = torch.cat([rotation, translation.float()[:, :, None]], dim=2)
    last = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(upper), 1, 4)
    return torch.cat([upper, last], dim=1)


def invert_pose(pose: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """Inverse of a rigid motion, exact and differentiable: ``R^T``, ``-R^T t``; at least float32."""
    pose = precise(pose)
    rotation = pose[..., :3, :3].mT
    with torch.autocast(pose.device.type, enabled=False):
        translation = -rotation @ pose[..., :3, 3:]
    return torch.cat([torch.cat([rotation, translation], dim=-1), pose[..., 3:, :]], dim=-2)


def disparity_to_depth(
    disparity: Float[Tensor, "*s"], near: float = 0.1, far: float = 100.0
) -> Float[Tensor, "*s"]:
    """Depth in [near, far] metres from a bounded disparity in [0, 1] (Monodepth2, section 3).

    ``1 / (1/far + (1/near - 1/far) * disparity)``: 0 is ``far``, 1 is ``near``.
    """
    return 1.0 / (1.0 / far + (1.0 / near - 1.0 / far) * disparity)


def depth_to_disparity(
    depth: Float[Tensor, "*s"], near: float = 0.1, far: float = 100.0
) -> Float[Tensor, "*s"]:
    """The inverse of `disparity_to_depth`; depths outside [near, far] are clamped to it."""
    return (1.0 / depth.clamp(near, far) - 1.0 / far) / (1.0 / near - 1.0 / far)


def warp(
    source: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b 1 h w"],
    pose: Float[Tensor, "b 4 4"],
    intrinsics: Float[Tensor, "b 3 3"],
    source_intrinsics: Float[Tensor, "b 3 3"] | None = None,
) -> Warped:
    """Samples `source` where the target's points land in it: the target as the source saw it.

    Args:
        source: the neighbouring frame.
        depth: metres of the *target* frame.
        pose: source <- target.
        intrinsics: the target's; also the source's unless `source_intrinsics` is given.

    Computed in float32 whatever autocast says: pixel coordinates do not fit half precision.
    """
    with torch.autocast(source.device.type, enabled=False):
        intrinsics = intrinsics.float()
        points = unproject(depth.float(), intrinsics)
        moved = (pose[:, :3, :3].float() @ points.flatten(2)).view_as(points)
        moved = moved + pose[:, :3, 3, None, None].float()
        before = moved[:, 2:] > MINIMUM_DEPTH
        ahead = torch.cat([moved[:, :2], moved[:, 2:].clamp_min(MINIMUM_DEPTH)], dim=1)
        camera = intrinsics if source_intrinsics is None else source_intrinsics.float()
        pixels = project(ahead, camera)
        height, width = source.shape[-2:]
        last = pixels.new_tensor([max(width - 1, 1), max(height - 1, 1)])
        grid = 2.0 * pixels.permute(0, 2, 3, 1) / last - 1.0
        inside = (grid.abs() <= 1.0 + 1e-4).all(dim=-1)[:, None]
        # a far-off coordinate keeps a finite value: its colour is the border's either way
        image = F.grid_sample(
            source.float(), grid.clamp(-3, 3), padding_mode="border", align_corners=True
        )
    return Warped(image, before & inside, moved[:, 2:])


def ssim_distance(
    prediction: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """``clamp((1 - SSIM) / 2, 0, 1)`` with 3x3 mean windows, reflected border (Godard et al. 2017).

    Constants 0.01^2 and 0.03^2 for images in [0, 1]; variances are the biased ones of the window.
    """
    x = F.pad(prediction, (1, 1, 1, 1), mode="reflect")
    y = F.pad(target, (1, 1, 1, 1), mode="reflect")
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x * mean_x
    variance_y = _window_mean(y * y) - mean_y * mean_y
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return ((1.0 - above / below) / 2.0).clamp(0.0, 1.0)


def _window_mean(value: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Mean over 3x3 windows without padding, by shifted sums: five times as fast as pooling on a CPU."""
    rows = value[..., :-2, :] + value[..., 1:-1, :] + value[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9.0


def photometric_error(
    prediction: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    ssim_weight: float = 0.85,
) -> Float[Tensor, "b 1 h w"]:
    """``0.85 * SSIM distance + 0.15 * |difference|``, each the mean over channels, per pixel."""
    absolute = (prediction - target).abs().mean(dim=1, keepdim=True)
    if ssim_weight == 0.0:
        return absolute
    structure = ssim_distance(prediction, target).mean(dim=1, keepdim=True)
    return ssim_weight * structure + (1.0 - ssim_weight) * absolute


class Reprojection(NamedTuple):
    """Error per pixel after the source frames are put together.

    Attributes:
        error: (B,1,H,W), what is averaged; 0 where nothing counts.
        counted: (B,1,H,W), pixels that belong to the average.
        moving: (B,1,H,W), the auto-mask: pixels whose warped error teaches (all True without one).
    """

    error: Tensor
    counted: Tensor
    moving: Tensor


def combine_sources(
    errors: Float[Tensor, "b k h w"],
    visible: Bool[Tensor, "b k h w"],
    rule: SourceRule = "minimum",
    identity_errors: Float[Tensor, "b k h w"] | None = None,
    noise: float = 1e-5,
) -> Reprojection:
    """One error per pixel from K source frames, by minimum or plain mean; with or without auto-mask.

    Args:
        errors: error of each warped source.
        visible: where each source shows the point; elsewhere its error does not count. A mask of
            True everywhere counts the repeated border too, as Monodepth2 does.
        rule: ``"minimum"`` over the sources (occlusions: Monodepth2, eq. 4) or ``"mean"``.
        identity_errors: error of each *unwarped* source. Where it is below the warped one, the pixel
            does not teach (auto-mask: Monodepth2, eq. 5): it enters the average with its unwarped
            error, a constant. Ties are broken by `noise` times a normal number.
    """
    counted = visible.any(dim=1, keepdim=True)
    if rule == "minimum":
        error = errors.masked_fill(~visible, torch.inf).amin(dim=1, keepdim=True)
    else:
        share = visible.float() / visible.float().sum(dim=1, keepdim=True).clamp_min(1.0)
        error = (errors * share).sum(dim=1, keepdim=True)
    error = torch.where(counted, error, 0.0)
    if identity_errors is None:
        return Reprojection(error, counted, torch.ones_like(counted))
    still = identity_errors.detach()
    still = still + noise * torch.randn_like(still)
    still = still.amin(1, keepdim=True) if rule == "minimum" else still.mean(1, keepdim=True)
    moving = counted & (error <= still)
    return Reprojection(torch.where(moving | ~counted, error, still), counted, moving)


def smoothness(
    disparity: Float[Tensor, "b 1 h w"], image: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Edge-aware first-order smoothness of the mean-normalised disparity (Monodepth2, eq. 3).

    The mean over both directions of ``|d disparity| * exp(-|d image|)``, with the image's gradient
    averaged over channels. The normalisation takes away the gain of shrinking every disparity.
    """
    disparity = disparity / (disparity.mean(dim=(2, 3), keepdim=True) + 1e-7)
    total = disparity.new_zeros(())
    for axis in (2, 3):
        if disparity.shape[axis] < 2:
            continue
        change = disparity.diff(dim=axis).abs()
        edge = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (change * torch.exp(-edge)).mean()
    return total
