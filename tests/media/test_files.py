"""Files that are whole or not there; what killed writers leave; full disks."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from crosstask.media import files
from crosstask.media.files import DiskFullError, atomic_path, naming_full_disk, remove_stale


def test_only_temporary_files_of_dead_writers_are_removed(tmp_path: Path) -> None:
    stale, other = tmp_path / ".a.ckpt.x1.part", tmp_path / "a.part"
    for file in (stale, other):
        file.write_bytes(b"half")
    with atomic_path(tmp_path / "b.ckpt") as alive:
        assert remove_stale(tmp_path) == [stale]
        assert alive.is_file()
        alive.write_text("whole")
    assert (tmp_path / "b.ckpt").read_text() == "whole"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.part", "b.ckpt"]
    assert remove_stale(tmp_path / "nowhere") == []


def test_a_file_that_was_taken_for_stale_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not removed:  # somebody else's clean-up comes first
            removed.extend(tmp_path.glob(".x.*.part"))
            removed[0].unlink()
        lock(handle, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    with atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("whole")
    assert removed and (tmp_path / "x").read_text() == "whole"


def full(path: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def quota(path: Path) -> None:
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


def wrapped(path: Path) -> None:
    """As torch.save reports it: an error of its own, with the system's behind."""
    try:
        full(path)
    except OSError as error:
        raise RuntimeError("unexpected pos 704 vs 598") from error


@pytest.mark.parametrize("write", [full, quota, wrapped])
@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_names_the_file_its_size_and_what_is_intact(
    tmp_path: Path, write: Any, there: bool
) -> None:
    target = tmp_path / "model.onnx"
    if there:
        target.write_text("old")
    words = "its old content is intact" if there else "no half of it was left behind"
    with (
        pytest.raises(DiskFullError, match=rf"model\.onnx; it needs 1.0 MB.*{words}"),
        atomic_path(target, size=1_000_000) as temporary,
    ):
        write(temporary)
    assert [p.name for p in tmp_path.iterdir()] == (["model.onnx"] if there else [])


def test_room_is_asked_for_before_writing(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="are free"),
        atomic_path(tmp_path / "x", size=10**18),
    ):
        raise AssertionError("not reached")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), naming_full_disk(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")


class Full:
    """A file that takes 100 bytes."""

    def __init__(self, path: Path) -> None:
        self.file, self.left = path.open("wb"), 100

    def write(self, data: Any) -> int:
        if len(data) > self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def test_libraries_that_hide_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError), atomic_path(tmp_path / "a") as temporary:
        torch.save({"a": torch.ones(1000)}, Full(temporary))
    with pytest.raises(DiskFullError), atomic_path(tmp_path / "b"):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    assert not list(tmp_path.iterdir())


def test_a_new_file_is_readable_like_any_other(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("1")
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_numpys_short_write_is_a_full_disk(tmp_path: Path) -> None:
    """It has no number: `65536 requested and 93 written`."""
    with (
        pytest.raises(DiskFullError, match=r"there is no room for .*a\.npy"),
        atomic_path(tmp_path / "a.npy"),
    ):
        raise OSError("65536 requested and 93 written")
