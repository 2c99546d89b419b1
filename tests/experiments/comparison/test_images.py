"""The sheet of images: right places, right content, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.images import (
    GAP,
    HEADER,
    Contestant,
    compare_images,
    save_sheet,
)
from crosstask.tasks import ClassTable, Depth, Segmentation, Task

CLASSES = ClassTable(("road", "car"), ((10, 20, 30), (200, 100, 0)))
SIZE = (32, 160)


class Frames(Dataset[Any]):
    def __init__(self, prefix: str = "frame") -> None:
        self.prefix = prefix

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "image": torch.full((3, *SIZE), 0.5),
            "segmentation": torch.zeros(SIZE, dtype=torch.int64),
            "depth": torch.linspace(2.0, 20.0, SIZE[1]).expand(1, *SIZE).contiguous(),
            "name": f"{self.prefix}-{index}",
        }


class Always(nn.Module):
    """Says the second class everywhere."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        one = torch.ones(len(image), 1, *image.shape[-2:])
        outputs = {"segmentation": torch.cat([-one, one], 1), "depth": one}
        return {name: [outputs[name]] for name in self.names}


def contestant(name: str, *tasks: Task, prefix: str = "frame") -> Contestant:
    network = Always(*(task.name for task in tasks))
    return Contestant(name=name, network=network, tasks=tasks, data=Frames(prefix))


def test_cells_lie_where_they_belong(tmp_path: Path) -> None:
    runs = [
        contestant("both", Segmentation(CLASSES), Depth()),
        contestant("alone", Segmentation(CLASSES)),
    ]
    sheet = compare_images(runs, [1])
    height, width = SIZE
    assert sheet.size == (4 * (width + GAP) - GAP, HEADER + 2 * (height + GAP) - GAP)
    pixels = np.asarray(sheet)

    def at(row: int, column: int) -> list[int]:
        y, x = HEADER + row * (height + GAP) + 5, column * (width + GAP) + 5
        return pixels[y, x].tolist()

    assert at(0, 0) == [128, 128, 128]  # the image, once
    assert at(1, 0) == [255, 255, 255]
    assert at(0, 1) == [10, 20, 30]  # truth: road
    assert at(0, 2) == at(0, 3) == [200, 100, 0]  # both say car
    assert at(1, 3) == [255, 255, 255]  # this run has no depth
    assert at(1, 2) not in ([255, 255, 255], at(1, 1))
    save_sheet(sheet, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_file()
    with pytest.raises(ValueError, match=r"\.png or \.jpg"):
        save_sheet(sheet, tmp_path / "sheet.gif")


def test_single_task_runs_share_a_column() -> None:
    runs = [contestant("single_task", Segmentation(CLASSES)), contestant("single_task", Depth())]
    sheet = compare_images(runs, [0])
    assert sheet.width == 3 * (SIZE[1] + GAP) - GAP
    assert np.asarray(sheet)[HEADER + 5, 2 * (SIZE[1] + GAP) + 5].tolist() == [200, 100, 0]


def test_other_images_and_wrong_indices_are_refused() -> None:
    one, other = contestant("a", Depth()), contestant("b", Depth(), prefix="other")
    with pytest.raises(RunError, match="frame-0 and other-0"):
        compare_images([one, other], [0])
    with pytest.raises(RunError, match="images 0 to 1"):
        compare_images([one], [2])
