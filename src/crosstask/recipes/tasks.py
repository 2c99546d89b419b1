"""The tasks that datasets teach, with DenseMTL's losses."""

from typing import Any

from crosstask.tasks import ClassTable, Depth, Edges, Normals, Segmentation, Task


def scene_tasks(
    classes: ClassTable | None,
    *,
    near: float = 1e-3,
    far: float = 80.0,
    canonical_focal: float | None = None,
    protocol: str = "correct",
) -> dict[str, Task]:
    """Segmentation (where there are classes), depth, normals and edges.

    Args:
        near, far: of depth, metres.
        canonical_focal: focal length in pixels at which depth is predicted; None: the camera's.
    """
    p: Any = protocol
    tasks: dict[str, Task] = {}
    if classes is not None:
        tasks["segmentation"] = Segmentation(classes=classes, protocol=p)
    tasks["depth"] = Depth(near=near, far=far, canonical_focal=canonical_focal, protocol=p)
    tasks["normals"] = Normals(protocol=p)
    tasks["edges"] = Edges(protocol=p)
    return tasks


def median_scaled(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tasks, with metrics of median-scaled depth (`depth/median_scaled/...`) beside the others."""
    return tuple(task.with_scale_free_metrics() for task in tasks)
