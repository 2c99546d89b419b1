"""`crosstask notebook`: copies, without outputs, and nothing written over."""

import json
import sys
from pathlib import Path

import pytest

from crosstask.cli import main


def test_sources_are_copied_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["notebook", "--format", "py", "--output", str(tmp_path / "n")]
    assert main([*command, "1", "5"]) == 0
    names = sorted(file.name for file in (tmp_path / "n").iterdir())
    assert names == ["1_predict_and_look.py", "5_own_idea.py", "idea.py"]
    (tmp_path / "n" / "idea.py").write_text("mine")
    assert main([*command, "5"]) == 2
    assert "is there already; pass `--force`" in capsys.readouterr().err
    assert (tmp_path / "n" / "idea.py").read_text() == "mine"
    assert main([*command, "5", "--force"]) == 0
    assert (tmp_path / "n" / "idea.py").read_text() != "mine"
    assert main(["notebook", "7"]) == 2 and "no notebook '7'" in capsys.readouterr().err
    assert main(["notebook", "--list"]) == 0
    assert "3_the_papers_ideas   3. The papers' ideas, made visible" in capsys.readouterr().out


def test_notebooks_have_cells_and_no_outputs(tmp_path: Path) -> None:
    pytest.importorskip("jupytext", reason="the extra `notebooks` is not installed")
    assert main(["notebook", "3", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "3_the_papers_ideas.ipynb").read_text())
    kinds = [cell["cell_type"] for cell in found["cells"]]
    assert kinds[:2] == ["markdown", "code"] and len(kinds) >= 15
    assert "".join(found["cells"][0]["source"]).startswith("# 3. The papers' ideas")
    assert all(not cell["outputs"] for cell in found["cells"] if cell["cell_type"] == "code")


def test_without_jupytext_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert main(["notebook", "1", "--output", str(tmp_path)]) == 2
    assert "pip install 'crosstask[notebooks]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
