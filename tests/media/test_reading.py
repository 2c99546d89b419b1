"""Bytes from regular files only; text as people's programs save it."""

import os
from pathlib import Path

import pytest

from crosstask.media.reading import DataError, read_bytes, read_lines, read_text

WORDS = "flür 90 80 70\r\nwall\t1 2 3\r\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_text_is_read_whatever_saved_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(WORDS.encode(encoding))
    assert read_text(path) == "flür 90 80 70\nwall\t1 2 3\n"


def test_marks_of_joined_files_and_line_ends_go(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf# a comment\r\none\r\xef\xbb\xbftwo \n\n  # another\nthree\x1a")
    assert read_lines(path) == ["one", "two", "three"]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfea", b"a\x01b"])
def test_what_is_no_text_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}.*not a text file.*UTF-8"):
        read_text(path)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe, link, folder = tmp_path / "pipe.png", tmp_path / "endless.png", tmp_path / "folder.png"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    folder.mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    for name, words in {
        "pipe.png": "is a pipe",
        "endless.png": "is a device",
        "folder.png": "is a folder",
        "empty.png": "is empty",
        "lost.png": "is missing",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(DataError, match=words) as caught:
            read_bytes(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2**32)  # sparse: takes no room
    with pytest.raises(DataError, match="4096 MB; expected at most 2048 MB"):
        read_bytes(path)
