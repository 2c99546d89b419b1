"""Files that are written whole or not at all."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = (
    "no space left", "disk quota exceeded", "file too large", "not enough space",
    " requested and ",  # "65536 requested and 93 written": numpy's, without a number
)  # fmt: skip


class DiskFullError(OSError):
    """A file cannot be written for want of room; says which, how large, and what is intact."""


@contextlib.contextmanager
def atomic_path(path: Path, size: int | None = None, durable: bool = True) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it once it is complete and on disk.

    If writing fails (full disk, read-only folder, kill), `path` keeps its old content and no
    temporary file stays behind; after a kill, `remove_stale` finds what does.

    Args:
        size: bytes that will be written, where known: asked for before writing begins.
        durable: wait until the disk has it; False for what can be made again, if its readers notice damage.

    Raises:
        DiskFullError: there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming_full_disk(path, size, atomic=True):
        if size is not None and size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        handle, temporary = _locked_temporary(path)
        try:
            yield temporary
            if durable:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, locked as long as its writer lives."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:  # not taken for stale before it was locked
            break
        os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)  # as an ordinary new file, not private as mkstemp makes it
    return handle, temporary


def remove_stale(folder: Path) -> list[Path]:
    """Removes the temporary files directly in a folder whose writers were killed; returns them.

    A file that is being written is locked, and stays.
    """
    removed = []
    for temporary in sorted(folder.glob(".*.part")):
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink(missing_ok=True)
            removed.append(temporary)
        except OSError:
            continue
        finally:
            os.close(handle)
    return removed


@contextlib.contextmanager
def naming_full_disk(path: Path, size: int | None = None, atomic: bool = False) -> Iterator[None]:
    """Says of a full disk which file it met, how large that is, and what is intact.

    Args:
        path: the file that is written inside the block.
        size: its bytes, where known.
        atomic: whether `path` keeps its old content.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not _is_full(error):
            raise
        raise DiskFullError(_full_disk_message(path, size, atomic)) from error


def _is_full(error: BaseException | None) -> bool:
    """Also where a library hides it behind an error of its own."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error).lower() for words in _FULL_WORDS):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _full_disk_message(path: Path, size: int | None, atomic: bool) -> str:
    needed = f"; it needs {_megabytes(size)}" if size else ""
    try:
        free = f", {_megabytes(shutil.disk_usage(path.parent).free)} are free"
    except OSError:
        free = ""
    if not atomic:
        kept = "what was written before is intact"
    elif path.exists():
        kept = "its old content is intact"
    else:
        kept = "no half of it was left behind"
    return (
        f"there is no room for {path}{needed}{free}: {kept}. Make room (a quota or a limit on file sizes "
        "counts as well) and run the same command again"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_path(path, size=len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())
