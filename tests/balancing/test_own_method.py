"""A balancing method of a user's own, by file, by name, or as it is."""

from pathlib import Path

import pytest
import torch

from crosstask.balancing import Balancer, create_balancer
from crosstask.tasks import Depth

OWN = """
import torch
from crosstask.balancing import Balancer

class Geometric(Balancer):
    def __init__(self, floor=1e-6):
        super().__init__()
        self.floor = floor
    def combine(self, losses):
        return torch.stack([x.clamp(min=self.floor).log() for x in losses.values()]).mean().exp()

def by_number(tasks, power=1.0):
    made = Geometric()
    made.number = len(tasks) ** power
    return made

def nothing(tasks):
    return None
"""


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN)


def test_a_class_takes_options_and_a_function_the_tasks() -> None:
    made = create_balancer("mine.py:Geometric:floor=4.0", (Depth(),))
    assert made.combine({"a": torch.tensor(1.0), "b": torch.tensor(16.0)}) == pytest.approx(8.0)
    counted = create_balancer("mine.py:by_number:power=2", (Depth(), Depth(name="other")))
    assert counted.number == 4  # type: ignore[comparison-overlap]
    own = Balancer()
    assert create_balancer(own, (Depth(),)) is own


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.py:Geometrc", "did you mean Geometric"),
        ("mine.py:Geometric:flor=1", "cannot be made so"),
        ("mine.py:Geometric:floor", "expected NAME or NAME:key=value"),
        ("mine.py:nothing", "made NoneType; expected a Balancer"),
        ("mine.py:OWN", "unknown balancing"),
        ("mine.py:torch", "expected a class of crosstask"),
        ("gone.py:Geometric", "there is no file"),
    ],
)
def test_what_is_wrong_is_said(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create_balancer(name, (Depth(),))
