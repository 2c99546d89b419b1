"""Label Studio: polygons, rectangles and ellipses in its JSON, brush strokes as PNG files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from crosstask.data.convert.annotations import (
    MALFORMED,
    UNLABELLED,
    AnnotatedImage,
    Annotations,
    Draw,
    Overlap,
    Size,
    find_image,
    malformed,
    one_line,
    read_json,
)
from crosstask.data.convert.shapes import Shape, box, draw_shapes, ellipse, polygons
from crosstask.data.sample import DataError
from crosstask.media.images import SUFFIXES, read_map
from crosstask.media.listing import files_in
from crosstask.media.reading import read_lines

_STROKE = re.compile(r"task-(\d+)-annotation-(\d+)-by-.*?-tag-(.+)-(\d+)\.png$", re.IGNORECASE)
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what an upload puts before a file's name
# Brush PNG files with their labels, by task and annotation.
Strokes = dict[tuple[str, str], list[tuple[Path, str]]]
_KINDS = ("polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels")


def read_labelstudio(
    source: Path,
    images: Path | None = None,
    overlap: Overlap | None = None,
    listing: Path | None = None,
) -> Annotations:
    """A JSON or JSON-MIN export; for brush strokes a folder with it and the brush PNG export.

    Args:
        source: the .json file, or a folder with one and the PNG files of `Brush labels to PNG`.
        images: folder of the images; else looked for beside the file.
        overlap: "order" (the later region wins) unless said otherwise.
        listing: text file of classes, one a line, for their order; else the labels met, sorted.

    Raises:
        DataError: no export, brush strokes without their PNG files, an image that is missing.
    """
    path, strokes = _files(source)
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise DataError(f"{path} holds no list of tasks; export the project as JSON or JSON-MIN")
    results, notes, several = [], list[str](), 0
    records = set[Any]()
    for place, task in enumerate(tasks):
        try:
            if (
                "annotations" not in task and task.get("id") is not None
            ):  # JSON-MIN: one record each
                if task["id"] in records:
                    several += 1
                    continue
                records.add(task["id"])
            regions, more = _results(task)
            results.append((task, [*_labelled(regions)]))
            several += more
        except MALFORMED as error:
            raise malformed(path, f"task {place}", error) from error
    if several:
        notes.append(f"{several} tasks have several annotations: the first of each is taken")
    names = _names(listing, results, strokes)
    drawn: set[str] = set()
    found = []
    for place, (task, regions) in enumerate(results):
        own = _strokes_of(task, strokes)
        try:
            size, draw, used = _drawing(path, regions, own, names, overlap or "order")
            image = _find(path, task, images)
        except DataError:
            raise
        except MALFORMED as error:
            raise malformed(path, f"task {place}", error) from error
        drawn |= used
        sources = (path, *(stroke for stroke, _ in own))
        found.append(AnnotatedImage(image.stem, image, draw, sources, size))
    if not found:
        raise DataError(f"{path} has no tasks; export the project as JSON")
    background = next((name for name in names if name.lower() == "background"), None)
    return Annotations(
        names, found, (), background, frozenset(drawn), {}, overlap or "order", notes
    )


def _files(source: Path) -> tuple[Path, Strokes]:
    """The JSON, and the brush PNG files with their labels by task and annotation."""
    if not source.is_dir():
        return source, {}
    entries = list(files_in(source, nested=True))
    found = [path for path in entries if path.suffix.lower() == ".json"]
    if len(found) != 1:
        raise DataError(
            f"{source} has {len(found)} .json files; expected one, the JSON or JSON-MIN export, which says "
            "which image each task is of"
        )
    strokes: Strokes = {}
    for path in entries:
        if match := _STROKE.search(path.name):
            strokes.setdefault((match[1], match[2]), []).append((path, one_line(match[3])))
    return found[0], strokes


def _results(task: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """The regions of a task's first annotation, and whether there are more annotations."""
    if "annotations" not in task:  # JSON-MIN: lists of regions beside the data
        lists = [value for value in task.values() if isinstance(value, list)]
        return [r for value in lists for r in value if "original_width" in r], False
    done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
    return (done[0]["result"] if done else []), len(done) > 1


def _strokes_of(task: Mapping[str, Any], strokes: Strokes) -> list[tuple[Path, str]]:
    """Those of the annotation that `_results` takes; of all where the export gives it no id."""
    done = [entry for entry in task.get("annotations", ()) if not entry.get("was_cancelled")]
    chosen = done[0].get("id") if done else task.get("annotation_id")
    own = {key: found for key, found in strokes.items() if key[0] == str(task.get("id"))}
    return [
        s for key, found in own.items() if chosen is None or key[1] == str(chosen) for s in found
    ]


def _labelled(regions: Sequence[Any]) -> Iterator[tuple[str, str, Any, Size]]:
    """Kind, label, value and image size of the regions that are of a class."""
    for region in regions:
        value = region.get("value", region)
        kind = next((kind for kind in _KINDS if value.get(kind)), None)
        if kind is not None:
            size = (int(region["original_height"]), int(region["original_width"]))
            yield kind, one_line(value[kind][0]), value, size


def _names(
    listing: Path | None,
    results: Sequence[tuple[Any, Sequence[tuple[str, str, Any, Size]]]],
    strokes: Mapping[tuple[str, str], Sequence[tuple[Path, str]]],
) -> tuple[str, ...]:
    met = {label for _, regions in results for _, label, _, _ in regions}
    met |= {label for own in strokes.values() for _, label in own}
    if listing is None:
        if not met:
            raise DataError("no region of the export has a label; is it of an image segmentation?")
        return tuple(sorted(met))
    names = tuple(dict.fromkeys(one_line(line) for line in read_lines(listing)))
    if unknown := sorted(met - set(names)):
        raise DataError(f"{listing} does not have the label {unknown[0]!r} of the export; add it")
    return names


def _drawing(
    path: Path,
    regions: Sequence[tuple[str, str, Any, Size]],
    strokes: Sequence[tuple[Path, str]],
    names: Sequence[str],
    overlap: Overlap,
) -> tuple[Size | None, Draw, set[str]]:
    """Size that the export states, function that draws, and the classes drawn."""
    size = regions[0][3] if regions else None
    shapes = []
    for kind, label, value, own_size in regions:
        if kind == "brushlabels":
            if strokes:
                continue
            raise DataError(
                f"{path} holds brush strokes in Label Studio's own run lengths, which are not read; export "
                "the project also as `Brush labels to PNG`, and give a folder with these files and the JSON"
            )
        region = _region(kind, value, own_size)
        if region is not None:
            shapes.append(Shape(names.index(label), region))
    layers = tuple((stroke, names.index(label)) for stroke, label in strokes)
    draw = partial(_draw, tuple(shapes), layers, overlap, str(path))
    used = {names[shape.label] for shape in shapes} | {label for _, label in strokes}
    return size, draw, used


def _draw(
    shapes: Sequence[Shape],
    strokes: Sequence[tuple[Path, int]],
    overlap: Overlap,
    what: str,
    size: Size,
) -> np.ndarray:
    result = np.full(size, UNLABELLED, np.int32)
    masks = []
    for path, label in strokes:
        planes = read_map(path)
        if planes.shape[1:] != size:
            raise DataError(
                f"{path} is {planes.shape[1:]}, but its image is {size} (height, width)"
            )
        masks.append((label, planes[:3].max(axis=0) > 127))
    if overlap == "area":
        masks.sort(key=lambda pair: -int(pair[1].sum()))
    for label, mask in masks:
        result[mask] = label
    above = draw_shapes(shapes, overlap, what, size)
    return np.where(above == UNLABELLED, result, above)


def _region(kind: str, value: Mapping[str, Any], size: Size) -> Any:
    """Percentages of the image become pixels."""
    down, across = size[0] / 100, size[1] / 100
    if kind == "polygonlabels":
        return polygons([[n for x, y in value["points"] for n in (x * across, y * down)]])
    turn = float(value.get("rotation") or 0)
    x, y = float(value["x"]) * across, float(value["y"]) * down
    if kind == "ellipselabels":
        return ellipse(x, y, value["radiusX"] * across, value["radiusY"] * down, turn)
    if turn:
        raise ValueError("a rotated rectangle; draw it as a polygon")
    return box(x, y, x + value["width"] * across, y + value["height"] * down)


def _find(path: Path, task: Mapping[str, Any], images: Path | None) -> Path:
    data = task.get("data", task)
    values = [data.get("image"), *data.values()]
    text = next(
        (v for v in values if isinstance(v, str) and PurePosixPath(_location(v)).suffix.lower() in SUFFIXES),
        None,
    )  # fmt: skip
    if text is None:
        raise DataError(f"{path}, task {task.get('id')} has no image among its data")
    name = PurePosixPath(_location(text)).name
    folders = [images] if images else [path.parent, path.parent / "images"]
    plain = _UPLOADED.sub("", name)
    try:
        return find_image(name, folders, path)
    except DataError:
        if plain == name:
            raise
        return find_image(plain, folders, path)


def _location(text: str) -> str:
    """The path within an address, such as /data/upload/1/a.jpg or /data/local-files/?d=a.jpg."""
    parsed = urlparse(text)
    local = parse_qs(parsed.query).get("d")
    return local[0] if local else unquote(parsed.path)
