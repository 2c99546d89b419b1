"""metrics.csv: exact after a resume, and errors that name the line."""

from pathlib import Path

import pytest

from crosstask.engine.metrics_file import MetricsFile, curves, read_rows
from crosstask.engine.runs import RunError


def test_curves_continue_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in (0, 10, 20):
        first.append(step, {"train/loss": step / 10})
    resumed = MetricsFile(path, keep_until=10)
    resumed.append(10, {"train/loss": 99.0})  # already there: not written twice
    resumed.append(20, {"train/loss": 2.0})
    assert read_rows(path) == [
        (0, "train/loss", 0.0),
        (10, "train/loss", 1.0),
        (20, "train/loss", 2.0),
    ]
    assert curves(path) == {"train/loss": [(0, 0.0), (10, 1.0), (20, 2.0)]}


def test_a_line_cut_by_a_kill_is_dropped_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,name,value\n0,a,1.0\n10,a,2.")
    MetricsFile(path, keep_until=100)
    assert read_rows(path) == [(0, "a", 1.0)]


@pytest.mark.parametrize("line", ["x,a,1.0", "1,a", "1,a,much"])
def test_an_edited_metrics_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(f"step,name,value\n0,a,1.0\n{line}\n")
    with pytest.raises(RunError, match="line 3"):
        read_rows(path)
