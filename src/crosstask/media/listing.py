"""Which files of a folder are images: none is passed over in silence but what systems leave behind."""

from collections.abc import Iterator
from pathlib import Path

from crosstask.media.images import SUFFIXES
from crosstask.media.reading import DataError

# Images that are not read here; without a word they would be missing from a training set.
FOREIGN = (
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf",
    ".orf", ".rw2", ".psd", ".svg", ".eps", ".tga", ".exr", ".pcx", ".dds",
)  # fmt: skip
_LEFT_BEHIND = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")


def is_left_behind(path: Path) -> bool:
    """Files that Windows, macOS and editors write into folders: Thumbs.db, .DS_Store, ._a.png, a~."""
    name = path.name.lower()
    return name in _LEFT_BEHIND or name.startswith(".") or name.endswith("~")


def files_in(folder: Path, nested: bool = False) -> Iterator[Path]:
    """Entries of a folder without those of operating systems, sorted by name; with `nested` of its subfolders.

    Links to folders are not followed.
    """
    for path in sorted(folder.iterdir()):
        if is_left_behind(path) or path.name == "__MACOSX":
            continue
        if nested and path.is_dir() and not path.is_symlink():
            yield from files_in(path, nested)
        else:
            yield path


def list_images(
    folder: Path, suffixes: tuple[str, ...] = SUFFIXES, nested: bool = False
) -> list[Path]:
    """Images of a folder by their endings in any case, sorted by name; empty without the folder.

    Raises:
        DataError: an image of a kind that is not read; says what to do.
    """
    found = list(files_in(folder, nested)) if folder.is_dir() else []
    for path in found:
        if path.suffix.lower() in FOREIGN:
            raise DataError(
                f"{path} is an image of a kind that is not read ({path.suffix}); expected "
                f"{', '.join(suffixes)}; convert it, for example `magick mogrify -format png "
                f"*{path.suffix}`, or move it away"
            )
    return [path for path in found if path.suffix.lower() in suffixes]
