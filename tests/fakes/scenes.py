"""A tiny learnable dataset with all four labels: a ground, a wall, a box."""

from typing import Any

import torch

from crosstask import geometry
from crosstask.data.samples import Samples
from crosstask.tasks import ClassTable, Depth, Edges, Normals, Segmentation, Task

CLASSES = ClassTable(
    names=("ground", "wall", "box"), colors=((90, 60, 90), (120, 120, 120), (200, 40, 40))
)


def scene_tasks(
    names: tuple[str, ...] = ("segmentation", "depth", "normals", "edges"),
) -> tuple[Task, ...]:
    tasks: dict[str, Task] = {
        "segmentation": Segmentation(classes=CLASSES),
        "depth": Depth(near=0.5, far=50.0),
        "normals": Normals(),
        "edges": Edges(),
    }
    return tuple(tasks[name] for name in names)


class Scenes(Samples):
    """`length` scenes; `noise` draws from the global random state, as an augmentation does.

    Args:
        hidden: {task: indices without its label}.
    """

    def __init__(
        self,
        length: int = 8,
        size: tuple[int, int] = (32, 64),
        noise: float = 0.0,
        hidden: dict[str, tuple[int, ...]] | None = None,
        offset: int = 0,
    ) -> None:
        self.length, self.size, self.noise, self.hidden = length, size, noise, hidden or {}
        self.offset = offset

    def __len__(self) -> int:
        return self.length

    def describe(self) -> dict[str, Any]:
        return {"source": "scenes", "size": self.length}

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index + self.offset)
        height, width = self.size
        horizon = height // 2 + int(torch.randint(-2, 3, (1,), generator=generator))
        labels = torch.ones(height, width, dtype=torch.int64)
        labels[horizon:] = 0
        rows = torch.arange(height).float()[:, None].expand(height, width)
        depth = torch.where(labels == 0, 20.0 / (rows - horizon + 2), torch.full((), 10.0))[None]
        normals = torch.where(
            labels == 0,
            torch.tensor([0.0, -1.0, 0.0])[:, None, None],
            torch.tensor([0.0, 0.0, -1.0])[:, None, None],
        )
        left = int(torch.randint(0, width - 12, (1,), generator=generator))
        box = (slice(horizon - 4, horizon + 6), slice(left, left + 12))
        labels[box] = 2
        depth[(slice(None), *box)] = 5.0
        normals = normals.clone()
        normals[(slice(None), *box)] = torch.tensor([0.0, 0.0, -1.0])[:, None, None]
        image = torch.tensor(CLASSES.colors)[labels].permute(2, 0, 1) / 255.0
        image = image + 0.02 * torch.randn(image.shape, generator=generator)
        if self.noise:
            image = image + self.noise * torch.rand(1)
        sample: dict[str, Any] = {
            "image": image.clamp(0, 1),
            "segmentation": labels,
            "depth": depth,
            "normals": normals,
            "edges": geometry.edges_from_labels(labels),
            "intrinsics": torch.tensor([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1]]),
            "name": f"scene {index}",
            "source": "scenes",
        }
        void = {"segmentation": 255, "depth": 0.0, "normals": 0.0, "edges": 255.0}
        for task, indices in self.hidden.items():
            if index in indices:
                sample[task] = torch.full_like(sample[task], void[task])
        return sample
