"""Bytes and text of files, from regular files of bounded size only, with errors that name the file.

A stranger's folder may hold a pipe (opening it hangs), a link to an endless device, an emptied or
a huge file: all of these are refused before anything is read.
"""

import codecs
import stat
from pathlib import Path

MOST_BYTES = 2**31  # of a file that is read into memory
MOST_TEXT = 2**26
MOST_YAML = 2**16  # its reader takes a minute for a megabyte
_BOMS = (  # the longer ones first: UTF-32 little endian begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = frozenset(range(32)) - {9, 10, 12, 13, 26}  # no text holds these; 26 ends old DOS files


class DataError(ValueError):
    """A dataset, a file or a sample is not what it should be; the message names the file."""


class ImageError(DataError):
    """A file is not a usable image; names it."""


def as_path(path: Path | str) -> Path:
    """A path; one that is one stays itself, since bytes of a subclass may come from elsewhere."""
    return path if isinstance(path, Path) else Path(path)


def check_file(path: Path, most: int = MOST_BYTES) -> None:
    """Looks at what a path is, before it is opened.

    Raises:
        DataError: missing, no regular file, empty, or of more than `most` bytes.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{path} is missing (there is no file of this name); restore it, or take its name out "
            "of the list"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise DataError(f"{path} cannot be read: {error}; check its rights and links") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is {_kind(found.st_mode)}; expected a regular file")
    if found.st_size == 0:
        raise DataError(f"{path} is empty (zero bytes); fetch it again")
    if found.st_size > most:
        raise DataError(
            f"{path} has {found.st_size / 2**20:.0f} MB; expected at most {most / 2**20:.0f} MB; "
            "is it the right file?"
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: missing, no regular file, empty, too large, or unreadable.
    """
    check_file(path, most)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}; check its rights") from error
    if not data or len(data) > most:
        raise DataError(f"{path} changed while it was read; try again when it is complete")
    return data


def read_text(path: Path) -> str:
    r"""A text file as people's programs save it, line ends as "\n".

    UTF-8 (with or without a byte order mark), UTF-16 and UTF-32 (with one, UTF-16 also without),
    and otherwise Windows' Latin-1 (cp1252).

    Raises:
        DataError: missing, empty, too large, or not text.
    """
    data = read_bytes(path, MOST_TEXT)
    text = _decoded(path, data).replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\ufeff", "").rstrip("\x1a")
    bad = next((c for c in text if ord(c) in _CONTROL), None)
    if bad is not None:
        raise DataError(
            f"{path} is not a text file (it holds the character {bad!r}); expected text in UTF-8; "
            "save it again as UTF-8"
        )
    return text


def _decoded(path: Path, data: bytes) -> str:
    try:
        for mark, encoding in _BOMS:
            if data.startswith(mark):
                return data.decode(encoding)
        half = data[:400]
        if len(data) % 2 == 0 and 2 * half.count(0) > 0.8 * len(half):  # every second byte is 0
            return data.decode("utf-16-le" if half[1:2] == b"\0" else "utf-16-be")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not a text file ({error}); expected text in UTF-8; save it again as UTF-8"
        ) from error
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that say something: stripped, without empty ones and # comments."""
    lines = (line.strip() for line in read_text(path).split("\n"))
    return [line for line in lines if line and not line.startswith("#")]
