"""The one rule about files that a run or a model names."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from crosstask.plugins.trust import (
    TrustError,
    digests,
    named_in,
    references,
    trusted,
    whole_paths,
)


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("raise SystemError('ran')\n")
    Path("task.py").write_text("raise SystemError('ran')\n")
    return {
        "recipe": "mine.py:run",
        "tasks": "segmentation,task.py:Albedo",
        "balancing": "mine.py:Geometric:floor=0.1",
        "options": {"exchange": "mine.py:Mean", "levels": [1, 2], "alpha": True},
        "size": "32x64",
        "root": None,
    }


def test_nothing_runs_and_every_file_is_named(content: Any, tmp_path: Path) -> None:
    with pytest.raises(TrustError) as error:
        trusted(content, "runs/x")
    text = str(error.value)
    assert text.startswith("runs/x needs code")
    assert f"{tmp_path}/mine.py (for run, Geometric, Mean)" in text
    assert f"{tmp_path}/task.py (for Albedo)" in text
    assert "--trust" in text and "trust=True" in text
    with pytest.raises(TrustError, match="task"):
        trusted(content, "runs/x", "mine.py")


@pytest.mark.parametrize(
    "hidden",
    [
        ["evil.py:go"],
        {"a": {"b": ("evil.py:go",)}},
        {"evil.py:go": 1},
        "segmentation, evil.py:go ,depth",
        {"tasks": {"evil.py:go"}},
        "evil.py:go:x=1",
        "../../a b/evil.py:go",
    ],
)
def test_wherever_it_stands(hidden: Any) -> None:
    with pytest.raises(TrustError, match="evil"):
        trusted(hidden, "runs/x")


def test_trust_gives_whole_paths_and_leaves_the_rest(content: Any, tmp_path: Path) -> None:
    found = trusted(content, "runs/x", True)
    assert found["recipe"] == f"{tmp_path}/mine.py:run"
    assert found["tasks"] == f"segmentation,{tmp_path}/task.py:Albedo"
    assert found["balancing"] == f"{tmp_path}/mine.py:Geometric:floor=0.1"
    assert found["options"] == {
        "exchange": f"{tmp_path}/mine.py:Mean",
        "levels": [1, 2],
        "alpha": True,
    }
    assert found["size"] == "32x64" and found["root"] is None
    assert whole_paths(content) == found
    assert trusted({"recipe": "camvid.supervised"}, "runs/x") == {"recipe": "camvid.supervised"}


def test_a_copy_takes_the_place_of_a_file(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text("")
    content = {"architecture": "/somewhere/else/mine.py:net"}
    assert trusted(content, "m", copy) == {"architecture": f"{copy}:net"}
    with pytest.raises(TrustError, match=r"not there any more.*--trust-file"):
        trusted(content, "m", True)
    with pytest.raises(ValueError, match="expected a Python file that is there"):
        trusted(content, "m", [tmp_path / "nothing.py"])


def test_a_changed_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    content = {"architecture": f"{file}:net"}
    before = digests(content)
    assert list(before) == [str(file)] and len(before[str(file)]) == 64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trusted(content, "m", True, before)
    file.write_text("x = 2\n")
    with pytest.warns(UserWarning, match="has changed since m was made"):
        trusted(content, "m", True, before)


def test_files_that_a_command_line_names() -> None:
    words = [
        "train",
        "a/mine.py:run",
        "--tasks=depth,b.py:T",
        "--options",
        "{'exchange': 'c.py:E'}",
    ]
    assert [str(f) for f in named_in(words)] == ["a/mine.py", "b.py", "c.py"]
    assert [r.name for r in references("depth,b.py:T,c.py:E")] == ["T", "E"]
