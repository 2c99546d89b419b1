"""All results of a visitor's images as one archive."""

import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from crosstask.media.files import atomic_path
from crosstask.predict import views
from crosstask.predict.writing import write_prediction
from crosstask.web.album import Album, Item
from crosstask.web.session import Studio

NAME = "crosstask_results.zip"


def write_archive(path: Path, album: Album, studios: Sequence[Studio]) -> str:
    """Writes what `crosstask predict` would write of every image, and its point cloud; a folder a model.

    Returns:
        What lies in it, in one sentence; images beyond the largest archive are left out, and told.
    """
    most = studios[0].limits.archive_mb * 2**20
    written = 0
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for number, item in enumerate(album.items):
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                files = _write(Path(folder), number, item, studios)
                size = sum(file.stat().st_size for file in files)
                if written and archive.start_dir + size > most:
                    break
                for file in files:
                    archive.write(file, file.relative_to(folder))
            written += 1
    left = len(album.items) - written
    told = (
        f"; {left} more would make it larger than {studios[0].limits.archive_mb:g} MB"
        if left
        else ""
    )
    return f"{written} image{'s' * (written != 1)}, {path.stat().st_size / 2**20:.1f} MB{told}"


def _write(folder: Path, number: int, item: Item, studios: Sequence[Studio]) -> list[Path]:
    stem = f"{number + 1:02d}_{safe(item.name)}"
    files: list[Path] = []
    for letter, studio, scene in zip("AB", studios, item.scenes, strict=False):
        place = folder if len(studios) == 1 else folder / f"{letter}_{safe(studio.name)}"
        files += write_prediction(scene.prediction, studio.model, place, stem)
        if views.depth_task(studio.model.tasks) is not None:
            cloud = views.point_cloud(scene.prediction, studio.model.tasks)
            files.append(place / f"{stem}.ply")
            views.save_cloud(str(files[-1]), cloud)
    return files


def safe(name: str) -> str:
    """A name of an upload that is no path, whatever it was."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "image"
