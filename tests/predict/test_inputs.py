"""Files, folders, patterns, standard input, names of results."""

import io
from pathlib import Path

import pytest

from crosstask.media.images import ImageError
from crosstask.predict.inputs import find_inputs, output_names, writable_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "clip.mp4", "notes.txt", "deep/c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "in"


def test_what_inputs_mean(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [p.name for p in find_inputs([folder])]
    assert names == ["a.JPG", "b.png", "clip.mp4"]
    assert [p.name for p in find_inputs([f"{folder}/**/*.png"])] == ["b.png", "c.png"]
    assert [p.name for p in find_inputs([folder / "deep", folder / "b.png"])] == ["c.png", "b.png"]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder}/b.png\n\n{folder}/deep\n"))
    assert [p.name for p in find_inputs(["-"])] == ["b.png", "c.png"]


@pytest.mark.parametrize("wrong", ["missing.png", "*.bmp", "empty"])
def test_nothing_there(folder: Path, wrong: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match="no "):
        find_inputs([folder / wrong])


def test_an_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(ImageError, match="one path a line"):
        find_inputs(["-"])


def test_no_two_files_share_a_name() -> None:
    assert output_names([Path("x/a.png"), Path("x/b.png")]) == ["a", "b"]
    assert output_names([Path("x/a.png"), Path("x/a.jpg")]) == ["a_png", "a_jpg"]
    assert output_names([Path("x/a.png"), Path("y/a.png")]) == ["x_a_png", "y_a_png"]
    far = output_names([Path("p/x/a.png"), Path("q/x/a.png")])
    assert far == ["p_x_a_png", "q_x_a_png"]
    with pytest.raises(ValueError, match="given twice"):
        output_names([Path("x/a.png"), Path("x/a.png")])


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        writable_folder(tmp_path / "file" / "out")
    assert writable_folder(tmp_path / "new" / "out").is_dir()
