"""The sheet of images: right places, right content, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crosstask.engine.runs import RunError
from crosstask.experiments.comparison.images import Contestant, compare_images, methods
from crosstask.experiments.comparison.records import read_record
from crosstask.experiments.comparison.sheet import FRAME, GAP
from crosstask.media.files import write_json
from crosstask.tasks import ClassTable, Depth, Segmentation, Task
from experiments.comparison.made_up_runs import make_run

CLASSES = ClassTable(("road", "car"), ((10, 20, 30), (200, 100, 0)))
SIZE = (32, 160)
HEADER = 18


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
    pixels = np.asarray(sheet.image())

    def at(row: int, column: int) -> list[int]:
        y, x = HEADER + row * (height + GAP) + 5, column * (width + GAP) + 5
        return pixels[y, x].tolist()

    assert at(0, 0) == [128, 128, 128]  # the image, once
    assert at(1, 0) == [255, 255, 255]
    assert at(0, 1) == [10, 20, 30]  # truth: road
    assert at(0, 2) == at(0, 3) == [200, 100, 0]  # both say car
    assert at(1, 3) == [255, 255, 255]  # this run has no depth
    assert at(1, 2) not in ([255, 255, 255], at(1, 1))
    sheet.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_file()
    for ending, texts in ((".svg", b">truth</text>"), (".pdf", b"%PDF")):
        sheet.save(tmp_path / f"sheet{ending}")
        assert texts in (tmp_path / f"sheet{ending}").read_bytes()
    assert b"data:image/png;base64" in (tmp_path / "sheet.svg").read_bytes()
    with pytest.raises(ValueError, match=r"\.png, \.jpg, \.pdf or \.svg"):
        sheet.save(tmp_path / "sheet.gif")


def test_single_task_runs_share_a_column() -> None:
    runs = [contestant("single_task", Segmentation(CLASSES)), contestant("single_task", Depth())]
    sheet = compare_images(runs, [0])
    assert sheet.size[0] == 3 * (SIZE[1] + GAP) - GAP
    assert np.asarray(sheet.image())[HEADER + 5, 2 * (SIZE[1] + GAP) + 5].tolist() == [200, 100, 0]


def test_other_images_and_wrong_indices_are_refused() -> None:
    one, other = contestant("a", Depth()), contestant("b", Depth(), prefix="other")
    with pytest.raises(RunError, match="frame-0 and other-0"):
        compare_images([one, other], [0])
    with pytest.raises(RunError, match="images 0 to 1"):
        compare_images([one], [2])


def test_an_inset_is_the_window_enlarged_in_the_opposite_corner() -> None:
    run = contestant("a", Segmentation(CLASSES), Depth())
    plain, sheet = compare_images([run], [0]), compare_images([run], [0], inset=(0, 0, 8, 8))
    pixels, before = np.asarray(sheet.image()), np.asarray(plain.image())
    depth = HEADER + SIZE[0] + GAP, SIZE[1] + GAP  # its truth: far on the right
    assert pixels[depth[0], depth[1]].tolist() == list(FRAME)
    inside = depth[0] + SIZE[0] - 5, depth[1] + SIZE[1] - 5  # bottom right corner
    near = before[depth[0] + 5, depth[1] + 5].astype(int)
    assert abs(pixels[inside].astype(int) - near).max() < 12
    assert abs(before[inside].astype(int) - near).max() > 40
    with pytest.raises(RunError, match="inside the image of 160 x 32"):
        compare_images([run], [0], inset=(155, 0, 8, 8))


class Spot(Always):
    """The first class, but for a spot."""

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        found = super().forward(image)["segmentation"][0] * -1
        found[..., 12:20, 100:108] *= -1
        return {"segmentation": [found]}


def test_an_automatic_inset_lies_where_the_runs_differ() -> None:
    first = contestant("a", Segmentation(CLASSES))
    spot = Contestant(name="b", network=Spot("segmentation"), tasks=first.tasks, data=Frames())
    flat = Contestant(name="c", network=Flat("segmentation"), tasks=first.tasks, data=Frames())
    pixels = np.asarray(compare_images([spot, flat], [0], inset="auto").image())
    top, left = HEADER + 12, 2 * (SIZE[1] + GAP) + 100
    assert pixels[top, left].tolist() == list(FRAME)


class Flat(Always):
    """The first class everywhere."""

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        return {"segmentation": [-super().forward(image)["segmentation"][0]]}


def test_a_method_is_shown_by_its_median_seed(tmp_path: Path) -> None:
    scores = {0: 0.1, 1: 0.9, 2: 0.5}
    for seed, score in scores.items():
        for name, values in (
            ("densemtl", {"segmentation": 0.5, "depth": 2.0}),
            ("single_task", {"segmentation": 0.5}),
            ("single_task", {"depth": 2.0}),
        ):
            path = tmp_path / f"{name}.{'-'.join(values)}.seed{seed}"
            make_run(path, name, values, seed=seed, row=name)
            write_json(path / "metrics.json", {"score": score})
    told: list[str] = []
    found = methods([read_record(path) for path in sorted(tmp_path.iterdir())], told.append)
    assert list(found) == ["densemtl", "single_task"]
    assert [r.seed for r in found["densemtl"]] == [2]
    assert [r.seed for r in found["single_task"]] == [2, 2]  # one a task, one column
    assert told == [f"{name}: seed 2, the median of 3" for name in found]


def test_the_same_row_on_other_tasks_and_runs_that_are_alike_have_columns_of_their_own(
    tmp_path: Path,
) -> None:
    both = {"segmentation": 0.5, "depth": 2.0}
    make_run(tmp_path / "a", "densemtl", both, row="densemtl")
    make_run(tmp_path / "b", "densemtl", {**both, "normals": 20.0}, row="densemtl")
    make_run(tmp_path / "c", "padnet", both)
    make_run(tmp_path / "d", "padnet", both)
    names = list(methods([read_record(path) for path in sorted(tmp_path.iterdir())]))
    assert names == ["densemtl S-D", "densemtl S-D-N", "c", "d"]


def test_no_run_is_lost_to_another_of_its_name(tmp_path: Path) -> None:
    both = {"segmentation": 0.5, "depth": 2.0}
    paths = [tmp_path / folder / "run" for folder in ("a", "b", "c")]
    for path, architecture in zip(paths, ("padnet", "padnet", "densemtl"), strict=True):
        make_run(path, architecture, both)
    found = methods([read_record(path) for path in paths])
    assert [[r.path for r in records] for records in found.values()] == [[path] for path in paths]
    assert list(found) == ["run", "b/run", "c/run"]
