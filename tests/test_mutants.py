"""The list of deliberate defects is in order, and some of them are made and found."""

from pathlib import Path

import pytest

import mutants
from mutants import KILLED, ROOT, SURVIVED, Mutant, copy_tree, outcome, read


def test_every_line_names_a_text_that_is_there_once_and_tests_that_exist() -> None:
    found = read()
    assert len(found) >= 30 and len(set(found)) == len(found)
    for mutant in found:
        assert mutant.path(ROOT).read_text().count(mutant.old) == 1, str(mutant)
        assert mutant.old != mutant.new, str(mutant)
        for test in mutant.tests:
            file, _, name = test.partition("::")
            path = ROOT / "tests" / file
            assert path.exists() and (not name or f"def {name}(" in path.read_text()), test


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize("mutant", read(quick=True), ids=str)
def test_the_quick_ones_are_killed(mutant: Mutant, tree: Path) -> None:
    assert outcome(mutant, tree) == KILLED
    assert mutant.path(tree).read_text() == mutant.path(ROOT).read_text()


def test_a_change_that_no_test_looks_at_survives(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes(tree: Path, tests: tuple[str, ...]) -> int:
        return 0

    monkeypatch.setattr(mutants, "run_tests", passes)
    line = read()[0]
    assert outcome(line, tree) == SURVIVED
    gone = Mutant(line.file, "no such text", "", line.tests)
    assert "0 times" in outcome(gone, tree)


def test_words_that_no_line_has_are_told_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "copy_tree", None)
    assert mutants.main(["no such defect"]) == 2
    assert "no such defect" in capsys.readouterr().out
