"""The pinhole camera, and what follows from it: points, surfaces, motion, the ground."""

from crosstask.geometry.pinhole import (
    crop_intrinsics,
    edges_from_labels,
    flip_intrinsics,
    normals_from_depth,
    project,
    scale_intrinsics,
    turn_intrinsics,
    unproject,
)

__all__ = [
    "crop_intrinsics",
    "edges_from_labels",
    "flip_intrinsics",
    "normals_from_depth",
    "project",
    "scale_intrinsics",
    "turn_intrinsics",
    "unproject",
]
