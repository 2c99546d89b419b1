"""Every notebook runs, as Python and at the sizes of a test, in an empty folder."""

import runpy
from pathlib import Path

import matplotlib
import pytest

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
