"""Metres from a known height of the camera above the ground.

One image shows angles, not lengths. A network takes its metres from what it was trained on: mostly from
how far below the horizon a thing stands, which is right only for cameras at the height of the training
camera. The ground in a predicted depth map tells which height the network implies; the true one, which
is easy to measure on a vehicle, sets the scale right.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosstask.geometry.pinhole import unproject

LARGEST_CHANGE = 4.0


def rescale(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 3 3"],
    height: float | int,
    most: float | None = LARGEST_CHANGE,
) -> tuple[Float[Tensor, "b 1 h w"], Bool[Tensor, " b"]]:
    """`depth` times one factor for each image, such that the camera is `height` metres above ground.

    The ground is looked for in the lower middle of the image (`ground_distance`). What lies there is
    no ground, and the depth stays as it is, where the plane is twice as far away as the points on it
    or farther, or the factor is not between 1 / `most` and `most`.

    Args:
        most: None for depth of arbitrary scale.

    Returns:
        The depth, and of which images it was scaled.

    Raises:
        ValueError: a height that is not positive.
    """
    if not height > 0:
        raise ValueError(f"`camera_height` is {height}; expected metres above the ground")
    distance = ground_distance(depth, intrinsics)
    factor = float(height) / distance
    points = _lower_middle(unproject(depth.float(), intrinsics.float()))
    found = factor.isfinite() & (distance < 2 * points.norm(dim=1).flatten(1).mean(dim=1))
    if most is not None:
        found &= (factor >= 1 / most) & (factor <= most)
    return depth * torch.where(found, factor, 1.0)[:, None, None, None], found


def _lower_middle(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """The lower third and middle half."""
    height, width = maps.shape[-2:]
    return maps[..., 2 * height // 3 :, width // 4 : width - width // 4]


def ground_distance(
    depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 3 3"], rounds: int = 3
) -> Float[Tensor, " b"]:
    """Distance of the camera from the plane through the lower middle of the image, in depth's units.

    Least squares for ``a . p = 1`` over the points of the lower third and middle half, repeated with
    less weight on points off the plane (kerbs, cars); the distance is ``1 / |a|``. Differentiable;
    computed in float32 whatever autocast says.
    """
    points = _lower_middle(unproject(depth.float(), intrinsics.float())).flatten(2)
    unit = points.detach().norm(dim=1).mean(dim=1)[:, None, None]
    points = points / unit
    weight = torch.ones_like(points[:, :1])
    with torch.autocast(depth.device.type, enabled=False):
        for _ in range(rounds):
            weighted = points * weight
            moment = weighted @ points.mT + 1e-6 * torch.eye(3, device=points.device)
            normal = torch.linalg.solve(moment, weighted.sum(dim=2))
            off = (torch.einsum("bc,bcn->bn", normal, points) - 1.0)[:, None].detach()
            weight = 1.0 / (1.0 + (off / 0.05).square())
    return unit[:, 0, 0] / normal.norm(dim=1).clamp_min(1e-6)


def level_ground(
    intrinsics: Float[Tensor, "b 3 3"], size: tuple[int, int], farthest: float | int = 30.0
) -> Float[Tensor, "b 1 h w"]:
    """Depth of an endless level ground under a camera that looks ahead, in heights of the camera.

    From `farthest` heights on, and above the horizon, it is `farthest`. Wrong wherever something stands,
    and yet enough to begin with: what stands near the ground moves as the ground beside it, and what is far
    moves with the rotation alone.
    """
    flat = torch.ones(len(intrinsics), 1, *size, device=intrinsics.device)
    down = unproject(flat, intrinsics.float())[:, 1:2]
    return 1.0 / down.clamp_min(1.0 / float(farthest))
