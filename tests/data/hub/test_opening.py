"""Where a set is looked for, and what is said where it cannot be opened."""

import re
import sys
from pathlib import Path

import datasets
import pytest

import crosstask
from crosstask.cli import main
from crosstask.data.hub.opening import open_set
from crosstask.data.sample import DataError


def test_without_the_library_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["data", "check", "hub", "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert 'pip install "crosstask[hub]"' in error and error.count("\n") == 1


def test_the_library_is_imported_where_a_set_is_opened_alone() -> None:
    """It takes two seconds, and is optional."""
    package = Path(crosstask.__file__).parent
    using = {
        (path.relative_to(package).as_posix(), indent)
        for path in package.rglob("*.py")
        for indent in re.findall(r"(?m)^( *)(?:import|from) datasets\b", path.read_text())
    }
    assert using == {("data/hub/opening.py", " " * 8)}


def test_a_name_of_the_hub_is_one_clear_error_without_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def load(*given: object, **options: object) -> None:
        asked.append((given, options))
        raise ConnectionError("Couldn't reach\n 'owner/name'")

    monkeypatch.setattr(datasets, "load_dataset", load)
    text = "cannot be fetched from the hub .Couldn't reach 'owner/name'.; check the name and the network"
    with pytest.raises(DataError, match=text):
        open_set(Path("owner/name@v2"), "expected a set", "small")
    assert asked == [(("owner/name", "small"), {"revision": "v2"})]


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("asked the hub"))
    for path in (tmp_path / "no", Path("no"), Path("a/b/c"), Path("../no")):
        with pytest.raises(DataError, match="does not exist; expected a set"):
            open_set(path, "expected a set")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"is the file .*notes\.txt; expected a set"):
        open_set(tmp_path / "notes.txt", "expected a set")


def test_what_cannot_be_opened_is_told_with_the_librarys_words(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(
        DataError, match=r"has no set that `datasets` can open \(.+\); expected a set"
    ):
        open_set(tmp_path, "expected a set")
