"""What a user names as input: files, folders, patterns, a list on standard input."""

import glob
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from crosstask.media.images import SUFFIXES, ImageError
from crosstask.media.listing import FOREIGN, is_left_behind
from crosstask.media.video import VIDEO_SUFFIXES


def is_video(path: Path) -> bool:
    """By its name. An animated GIF counts as an image, of which the first frame is used."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def names_model(word: str) -> bool:
    """Whether a word means a model: of the hub or the package, a run or model directory, a checkpoint.

    A path that does not exist means one unless it looks like an image, a video or a pattern.
    """
    path = Path(word)
    if path.is_dir():
        return any((path / part).exists() for part in ("model.json", "checkpoints", "config.yaml"))
    media = word == "-" or glob.has_magic(word)
    return not media and path.suffix.lower() not in (*SUFFIXES, *FOREIGN, *VIDEO_SUFFIXES)


def find_inputs(inputs: Iterable[Path | str]) -> list[Path]:
    """Images and videos, in order: of files, of folders and patterns by name.

    Args:
        inputs: a file, a folder (its images and videos), a pattern such as "frames/*.png" (with
            ** for folders in folders), or "-": one path a line on standard input.

    Raises:
        ImageError: a path does not exist, or a folder or pattern holds nothing.
    """
    found: list[Path] = []
    for entry in inputs:
        if str(entry) == "-":
            lines = [line.strip() for line in sys.stdin if line.strip()]
            if not lines:
                raise ImageError("standard input is empty; expected one path a line")
            found += find_inputs([line for line in lines if line != "-"])
        elif Path(entry).is_dir():
            found += _of_folder(Path(entry))
        elif Path(entry).exists():
            found.append(Path(entry))
        elif glob.has_magic(str(entry)):
            found += _of_pattern(str(entry))
        else:
            raise ImageError(f"there is no file or folder {entry}")
    return found


def _usable(path: Path) -> bool:
    """Images, videos, and images of kinds that are not read, which are reported one by one."""
    known = path.suffix.lower() in (*SUFFIXES, *FOREIGN, *VIDEO_SUFFIXES)
    return known and path.is_file() and not is_left_behind(path)


def _of_folder(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if _usable(p))
    if not files:
        raise ImageError(
            f"the folder {folder} holds no images and no videos "
            f"({', '.join((*SUFFIXES, *VIDEO_SUFFIXES))}); for those of its folders give the pattern "
            f"{folder}/**/*"
        )
    return files


def _of_pattern(pattern: str) -> list[Path]:
    files = sorted(p for p in map(Path, glob.glob(pattern, recursive=True)) if _usable(p))  # noqa: PTH207
    if not files:
        raise ImageError(f"no image and no video fits the pattern {pattern}")
    return files


def output_names(files: Sequence[Path]) -> list[str]:
    """A name for the results of each file; no two files share one.

    The file's stem; where two have the same, the suffix and, if need be, the folders join it.

    Raises:
        ValueError: the same file is given twice.
    """
    names = [file.stem for file in files]
    for longer in (
        lambda file: f"{file.stem}_{file.suffix[1:]}",
        lambda file: f"{file.parent.name}_{file.stem}_{file.suffix[1:]}",
        lambda file: "_".join([*file.parts[:-1], file.stem, file.suffix[1:]]).replace("/", ""),
    ):
        count = Counter(names)
        names = [
            longer(file) if count[name] > 1 else name
            for file, name in zip(files, names, strict=True)
        ]
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        first = files[names.index(twice[0])]
        raise ValueError(f"the input {first} is given twice; name every file once")
    return names


def writable_folder(folder: Path) -> Path:
    """Makes the folder and tries to write into it, before any work is done.

    Raises:
        ValueError: it cannot be made or written; says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"`output` is {folder}, which cannot be written ({error.strerror}); choose a folder "
            "that you may write, or mend its rights"
        ) from None
    return folder
