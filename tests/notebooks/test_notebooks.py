"""Every notebook runs, as Python and at the sizes of a test, in an empty folder."""

import runpy
from pathlib import Path

import matplotlib
import pytest
import torch

from crosstask.cli.notebook import copy, notebooks

matplotlib.use("Agg")
NAMES = [file.stem for file in notebooks()]


def test_there_are_five() -> None:
    assert [name[0] for name in NAMES] == list("12345")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    copy(notebooks(), tmp_path, "py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CROSSTASK_QUICK", "1")
    runpy.run_path(f"{name}.py", run_name="__main__")
    assert plt.get_fignums()
    plt.close("all")


def test_void_pixels_count_in_no_metric_of_the_own_idea() -> None:
    idea = runpy.run_path(str(notebooks()[0].parent / "idea.py"))
    metric = idea["PeakMetric"]()
    heat, target = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    heat[0, 0, 8, 8] = target[0, 0, 8, 8] = 1.0
    heat[0, 0, 24, 24], target[0, 0, 20:28, 20:28] = 0.9, -1.0
    metric.update(heat, target)
    assert metric.compute()["precision"] == 1 and metric.compute()["f1"] == 1
