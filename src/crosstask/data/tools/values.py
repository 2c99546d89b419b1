"""Values that are legal in a file and cannot be right: what `data check` says of them."""

from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from crosstask.data.axes import vector_length
from crosstask.data.dataset import SceneDataset
from crosstask.data.frame import Frame
from crosstask.geometry.lens import ray_directions

FARTHEST = 1e5  # metres
_LENGTHS = (0.8, 1.25)  # the middle one of stored vectors that are unit vectors, coded or resized
_SHORTEST = 0.05  # what is shorter is "none"


def value_defects(
    dataset: SceneDataset, frame: Frame, name: str, value: Shaped[Tensor, "*c h w"]
) -> list[str]:
    """What is wrong with one stored target of a frame, as it is read."""
    path, target = frame.files.get(name), dataset.targets[name]
    if path is None:
        return []
    stored = dataset.load_stored_normals(frame) if name == "normals" else None
    if stored is not None and (found := _vector_defects(path, stored)):
        return found
    if value.is_floating_point() and (found := _not_finite(path, value)):
        return found
    if target.check is not None and (expected := target.check(value.to(target.dtype))) is not None:
        low, high = float(value.min()), float(value.max())
        return [f"{path} is read as values from {low:g} to {high:g}; expected {expected}"]
    classes = dataset.classes
    if name == "segmentation" and classes is not None:
        outside = (value >= len(classes)) & (value != target.void)
        if bool(outside.any()):
            return [f"{path} has the class {int(value[outside].max())} of {len(classes)}"]
    if target.distance and (value.min() < 0 or value.max() > FARTHEST):
        low, high = float(value.min()), float(value.max())
        return [f"{path} holds depth from {low:g} to {high:g} metres, which no camera sees"]
    if stored is not None and bool(target.void_mask(value).all()):
        return [f"{path} has no valid pixel: every vector is 0 or unknown"]
    return []


def _not_finite(path: Path, value: Tensor) -> list[str]:
    share = 1 - float(torch.isfinite(value).float().mean())
    if share == 0:
        return []
    return [
        f"{path} holds NaN or infinite values ({100 * share:.3g} % of them); write 0 for unknown"
    ]


def _vector_defects(path: Path, stored: Float[Tensor, "3 h w"]) -> list[str]:
    """Of vectors as stored: all finite, and of length 1 where they are not 0."""
    if found := _not_finite(path, stored):
        return found
    lengths = vector_length(stored.double())
    known = lengths[lengths > _SHORTEST]
    if known.numel() and not _LENGTHS[0] <= float(known.median()) <= _LENGTHS[1]:
        return [
            f"{path} holds vectors of length {float(known.median()):.3g}; expected unit vectors: divide "
            "them by their length"
        ]
    return []


def away(
    normals: Float[Tensor, "3 h w"], intrinsics: Float[Tensor, "3 3"] | None
) -> tuple[int, int]:
    """Pixels whose normal points away from the camera, and pixels with a normal.

    Args:
        normals: unit vectors in our axes, 0 where unknown.
        intrinsics: of the frame; without a known one all rays are taken to be parallel.
    """
    known = vector_length(normals) > 0.5
    facing = normals[2]
    if intrinsics is not None and float(intrinsics[0, 0]) > 0:
        size = (int(normals.shape[-2]), int(normals.shape[-1]))
        facing = (normals * ray_directions(intrinsics, size)).sum(0)
    return int((facing[known] > 0).sum()), int(known.sum())
