"""COCO: instances or stuff in JSON, polygons and run lengths."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from crosstask.data.convert.annotations import (
    MALFORMED,
    AnnotatedImage,
    Annotations,
    Overlap,
    find_image,
    frame_name,
    malformed,
    one_line,
    read_json,
)
from crosstask.data.convert.shapes import Polygons, Runs, Shape, draw_shapes, polygons
from crosstask.data.sample import DataError
from crosstask.media.listing import files_in

_PART = re.compile(r"(train|val|test)", re.IGNORECASE)


def read_coco(
    source: Path, images: Path | None = None, overlap: Overlap | None = None
) -> Annotations:
    """Annotations of one JSON file, or of a folder's (`train`, `val`, `test` in their names or folders).

    Crowd regions count as their class; boxes without a segmentation are left out and told.

    Args:
        source: the file or folder.
        images: folder of the images; else looked for beside the file and in its neighbours.
        overlap: the smaller region wins ("area") unless said otherwise.

    Raises:
        DataError: no such file, entries that are not COCO's, an image that is missing.
    """
    overlap = overlap or "area"
    files = _files(source)
    classes: tuple[str, ...] | None = None
    found: list[AnnotatedImage] = []
    parts: dict[str, list[str]] = {}
    drawn: set[str] = set()
    boxes = 0
    for path, part in files.items():
        content = read_json(path)
        index, names = _categories(path, content)
        if classes is not None and names != classes:
            raise DataError(
                f"{path} has other categories than {next(iter(files))}; convert them into two folders"
            )
        classes = names
        shapes, without = _shapes(path, content, index)
        boxes += without
        drawn |= {names[shape.label] for group in shapes.values() for shape in group}
        folders = _image_folders(path, source, images, part)
        for entry in _entries(path, content, "images"):
            one = _image(path, entry, shapes, folders, part, overlap)
            found.append(one)
            if part:
                parts.setdefault(part, []).append(one.name)
    assert classes is not None
    notes = [f"{boxes} annotations have no segmentation and are left out"] if boxes else []
    return Annotations(
        classes, found, drawn=frozenset(drawn), parts=parts, overlap=overlap, notes=notes
    )


def _files(source: Path) -> dict[Path, str]:
    """JSON files of a source, each with its split; "" where there is one file."""
    if not source.is_dir():
        return {source: ""}
    folder = source / "annotations" if (source / "annotations").is_dir() else source
    paths = [p for p in files_in(folder, nested=True) if p.suffix.lower() == ".json"]
    if not paths:
        raise DataError(f"{source} has no .json file; give COCO's annotations, or their folder")
    if len(paths) == 1:
        return {paths[0]: ""}
    parts = {}
    for path in paths:
        places = [path.stem, path.parent.name if path.parent != source else ""]
        match = next((m for m in map(_PART.search, places) if m), None)
        parts[path] = match[1].lower() if match else ""
    if "" in parts.values() or len(set(parts.values())) < len(paths):
        raise DataError(
            f"{folder} has the files {', '.join(p.name for p in paths[:6])}; expected one, or one a "
            "split with train, val or test in its name; give one of them as the source"
        )
    return parts


def _categories(path: Path, content: Any) -> tuple[dict[int, int], tuple[str, ...]]:
    """Class index by category id, and names; in the order of the ids."""
    entries = _entries(path, content, "categories")
    try:
        named = sorted((int(entry["id"]), one_line(entry["name"])) for entry in entries)
    except MALFORMED as error:
        raise malformed(path, "a category", error) from error
    if not named:
        raise DataError(f"{path} has no categories; is it a COCO file of instances or stuff?")
    names = tuple(dict.fromkeys(name for _, name in named))
    return {number: names.index(name) for number, name in named}, names


def _entries(path: Path, content: Any, key: str) -> list[Any]:
    entries = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise DataError(
            f"{path} has no list {key!r}; expected a COCO file with images, annotations, categories"
        )
    return entries


def _shapes(
    path: Path, content: Any, index: Mapping[int, int]
) -> tuple[dict[Any, list[Shape]], int]:
    """Regions by image id, and how many annotations have none."""
    shapes: dict[Any, list[Shape]] = {}
    without = 0
    for number, entry in enumerate(_entries(path, content, "annotations")):
        try:
            label = index[int(entry["category_id"])]
            region = _region(entry.get("segmentation"))
            owner = entry["image_id"]
            if region is None:
                without += 1
            else:
                shapes.setdefault(owner, []).append(Shape(label, region))
        except MALFORMED as error:
            raise malformed(path, f"annotation {number}", error) from error
    return shapes, without


def _region(stored: Any) -> Polygons | Runs | None:
    if isinstance(stored, Mapping):
        height, width = (int(side) for side in stored["size"])
        counts = stored["counts"]
        return Runs(counts if isinstance(counts, str) else tuple(map(int, counts)), (height, width))
    return polygons(stored) if stored else None


def _image_folders(path: Path, source: Path, images: Path | None, part: str) -> list[Path]:
    if images is not None:
        return [images / part, images] if part else [images]
    root = source if source.is_dir() else path.parent
    roots = dict.fromkeys([path.parent, root, path.parent.parent])
    inner = [p for r in roots for p in sorted(r.glob("*")) if p.is_dir()]
    own = path.stem.split("_")[-1]  # train2017 of instances_train2017.json
    inner = [p for p in inner if p.name in ("images", "data", "JPEGImages", own, part or own)]
    return [*roots, *inner, *(p / own for p in inner), *(p / part for p in inner if part)]


def _image(
    path: Path,
    entry: Any,
    shapes: Mapping[Any, list[Shape]],
    folders: list[Path],
    part: str,
    overlap: Overlap,
) -> AnnotatedImage:
    try:
        text, size = str(entry["file_name"]), (int(entry["height"]), int(entry["width"]))
        own = tuple(shapes.get(entry["id"], ()))
    except MALFORMED as error:
        raise malformed(path, f"the image {str(entry)[:80]}", error) from error
    name = frame_name(text, path)
    name = f"{part}/{name}" if part and not name.startswith(f"{part}/") else name
    draw = partial(draw_shapes, own, overlap, f"{path}, {text}")
    return AnnotatedImage(name, find_image(text, folders, path), draw, (path,), size)
