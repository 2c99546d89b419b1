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
    """S (where there are classes), D, N and E.

    Args:
        near, far: of depth, metres.
        canonical_focal: focal length in pixels at which depth is predicted; None: the camera's.
    """
    p: Any = protocol
    return by_name(
        *([] if classes is None else [Segmentation(classes=classes, protocol=p)]),
        Depth(near=near, far=far, canonical_focal=canonical_focal, protocol=p),
        Normals(protocol=p),
        Edges(protocol=p),
    )


def by_name(*tasks: Task) -> dict[str, Task]:
    """The tasks in order, by their names."""
    return {task.name: task for task in tasks}


def median_scaled(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tasks, with metrics of median-scaled depth (`depth/median_scaled/...`) beside the others."""
    return tuple(task.with_scale_free_metrics() for task in tasks)
