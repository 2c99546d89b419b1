"""Class weights: from the training labels or a file, kept by the run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.data.combine.pairs import DomainPairs
from crosstask.engine.class_weights import balanced, from_file
from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.tasks import Segmentation
from fakes.scenes import CLASSES

TASK = Segmentation(CLASSES)  # ground, wall, box


class Labels(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, *maps: list[int]) -> None:
        self.maps = maps

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> dict[str, Any]:
        labels = torch.tensor(self.maps[index])[None]
        return {"image": torch.zeros(3, *labels.shape), "segmentation": labels, "name": str(index)}


def test_median_frequency_by_hand() -> None:
    """Ground: 6 of 12 labelled pixels; wall: 2 of the 4 around it, box 4 of 8; void counts nowhere."""
    data = Labels([0, 0, 1, 1, 255, 255, 255, 255], [0, 0, 0, 0, 2, 2, 2, 2])
    assert balanced(data, [TASK]) == {"segmentation": [1.0, 1.0, 1.0]}
    data = Labels([0, 0, 0, 1], [0, 0, 0, 0])  # 7/8 and 1/4, the box nowhere: median 9/16
    expected = [round(9 / 14, 6), 2.25, 1.0]
    assert balanced(data, [TASK])["segmentation"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="no training image has a label"):
        balanced(Labels([255, 255]), [TASK])


def test_a_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.txt"
    path.write_text("# street\nwall 2\nground 0.5\n\nbox 3e0\n")
    assert from_file(path, TASK) == [0.5, 2.0, 3.0]
    other = tmp_path / "weights.json"
    other.write_text('{"box": 3, "ground": 0.5, "wall": 2}')
    assert from_file(other, TASK) == [0.5, 2.0, 3.0]


@pytest.mark.parametrize(
    "text, message",
    [
        ("wal 2\nground 1\nbox 1", "did you mean wall"),
        ("wall 2\nground 1", "no weight of box; add a line"),
        ("wall 2\nwall 2\nground 1\nbox 1", "'wall' has '2'; expected one finite number"),
        ("wall -1\nground 1\nbox 1", "expected one finite number from 0"),
        ("wall nan\nground 1\nbox 1", "expected one finite number"),
        ("wall\nground 1\nbox 1", "'wall' has None"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        from_file(tmp_path / "w.txt", TASK)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected none, balanced, auto or a file"):
        from_file(tmp_path / "balancd", TASK)
    (tmp_path / "w.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"expected \{name: weight\}"):
        from_file(tmp_path / "w.json", TASK)


def test_a_run_keeps_its_weights(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """A file that changed, or is gone, changes nothing of a run that goes on."""
    file, run = tmp_path / "w.txt", tmp_path / "run"
    file.write_text("wall 2\nground 0.5\nbox 3")

    def go(steps: int, **options: Any) -> None:
        made = experiment(
            ("segmentation",),
            class_weights=str(file),
            steps=steps,
            architecture="single_task_matched",
        )
        config = {"recipe": "test", "steps": steps}
        train(made, run, config=config, progress=False, **options)
        assert made.tasks[0].class_weights == (0.5, 2.0, 3.0)  # type: ignore[attr-defined]
        assert made.regime.labelled_tasks == made.tasks  # type: ignore[attr-defined]
        described = json.loads((run / "model.json").read_text())
        assert described["tasks"][0]["class_weights"] == [0.5, 2.0, 3.0]

    go(1)
    file.unlink()
    go(2, resume=True)


def test_of_two_domains_every_labelled_image_counts_once() -> None:
    """The target is longer, so a pass draws each source image several times."""
    source = Labels([0, 0, 0, 1], [0, 0, 0, 0])
    pairs = DomainPairs(source, Labels([0], [0], [0]))
    assert len(pairs) == 3 and balanced(pairs, [TASK]) == balanced(source, [TASK])
