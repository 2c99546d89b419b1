"""labelme: one JSON an image with labels.txt, or what its labelme2voc wrote."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from crosstask.data.convert.annotations import (
    IGNORED,
    MALFORMED,
    AnnotatedImage,
    Annotations,
    Overlap,
    malformed,
    one_line,
    read_json,
)
from crosstask.data.convert.cvat import draw_mask, image_of
from crosstask.data.convert.shapes import Shape, Window, box, draw_shapes, ellipse, polygons
from crosstask.data.folder.classes import IGNORED as IGNORED_NAME
from crosstask.data.folder.masks import MaskRule
from crosstask.data.sample import DataError
from crosstask.media.images import decode_map
from crosstask.media.listing import files_in, list_images
from crosstask.media.reading import read_lines
from crosstask.tasks.classes import ClassTable

_BACKGROUND = "_background_"
_NO_AREA = ("line", "linestrip", "point", "points")


def read_labelme(
    source: Path,
    images: Path | None = None,
    overlap: Overlap | None = None,
    listing: Path | None = None,
) -> Annotations:
    """A folder of labelme's JSON files, or of labelme2voc's masks (class_names.txt).

    Args:
        source: the folder.
        images: folder of the images; else where each JSON says, or inside of it.
        overlap: "order" (the later shape wins) unless said otherwise.
        listing: labels.txt; else that of the folder, else the labels met, sorted.

    Raises:
        DataError: no JSON, a label that the list does not have, an image that is missing.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; expected that of labelme's .json files")
    if (source / "class_names.txt").is_file():
        return _read_voc(source, images)
    paths = [p for p in files_in(source, nested=True) if p.suffix.lower() == ".json"]
    contents = {path: content for path in paths if (content := _content(path)) is not None}
    if not contents:
        raise DataError(f"{source} has no .json file of labelme (with `shapes`)")
    names, notes = _names(source, listing, contents)
    left_out: dict[str, int] = {}
    found, drawn = list[AnnotatedImage](), set[str]()
    for path, entry in contents.items():
        try:
            shapes = tuple(_shapes(entry, names, left_out, path))
            one = _image(source, path, entry, images, shapes, overlap or "order")
        except DataError:
            raise
        except MALFORMED as error:
            raise malformed(path, "it", error) from error
        drawn |= {names[shape.label] for shape in shapes if shape.label >= 0}
        found.append(one)
    alone = len(
        [p for p in list_images(source, nested=True) if not p.with_suffix(".json").is_file()]
    )
    if alone and images is None:
        notes.append(f"{alone} images have no .json file and are left out")
    notes += [
        f"{n} shapes of the kind {kind} have no area and are left out"
        for kind, n in left_out.items()
    ]
    background = next((name for name in names if name.lower() in (_BACKGROUND, "background")), None)
    return Annotations(
        names, found, (), background, frozenset(drawn), {}, overlap or "order", notes
    )


def _content(path: Path) -> dict[str, Any] | None:
    """A labelme file without its image's bytes (whether there are some stays); None for other JSON."""
    content = read_json(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
        return None
    return {**content, "imageData": bool(content.get("imageData"))}


def _names(
    source: Path, listing: Path | None, contents: Mapping[Path, Any]
) -> tuple[tuple[str, ...], list[str]]:
    """The classes without labelme's `__ignore__`, and what is told of them."""
    places = [listing] if listing else [source / "labels.txt", source.parent / "labels.txt"]
    path = next((place for place in places if place.is_file()), None)
    if path is not None or listing:
        names = [one_line(line) for line in read_lines(path or places[0])]
        return tuple(name for name in dict.fromkeys(names) if name != IGNORED_NAME), []
    met = {
        str(shape.get("label")) for content in contents.values() for shape in content["shapes"]
        if isinstance(shape, Mapping)
    }  # fmt: skip
    names = [one_line(name) for name in sorted(met - {IGNORED_NAME})]
    if not names:
        raise DataError(f"{source} has no labels.txt, and no shape has a label")
    names.sort(key=lambda name: name != _BACKGROUND)
    return tuple(names), ["there is no labels.txt: the classes are the labels met, sorted"]


def _shapes(
    content: Mapping[str, Any], names: Sequence[str], left_out: dict[str, int], path: Path
) -> list[Shape]:
    shapes = []
    for entry in content["shapes"]:
        kind, name = entry.get("shape_type") or "polygon", one_line(entry["label"])
        if kind in _NO_AREA:
            left_out[kind] = left_out.get(kind, 0) + 1
            continue
        if name != IGNORED_NAME and name not in names:
            raise DataError(
                f"{path} has the label {name!r}, which labels.txt does not; add it, or rename the label"
            )
        region = _region(kind, entry)
        if region is not None:
            shapes.append(Shape(IGNORED if name == IGNORED_NAME else names.index(name), region))
    return shapes


def _region(kind: str, entry: Mapping[str, Any]) -> Any:
    points = [(float(x), float(y)) for x, y in entry["points"]]
    if kind == "polygon":
        return polygons([[value for point in points for value in point]])
    if kind == "rectangle":
        (x1, y1), (x2, y2) = points[0], points[-1] if len(points) == 2 else points[2]
        return box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return ellipse(x, y, radius, radius)
    if kind == "mask":
        data = base64.b64decode(entry["mask"])
        pixels = decode_map(Path("a mask"), data)[0] > 0
        return Window(pixels, round(points[0][1]), round(points[0][0]))
    raise ValueError(f"the shape {kind!r}")


def _image(
    source: Path,
    path: Path,
    content: Mapping[str, Any],
    images: Path | None,
    shapes: tuple[Shape, ...],
    overlap: Overlap,
) -> AnnotatedImage:
    text = str(content.get("imagePath") or "").replace("\\", "/")
    name = path.relative_to(source).with_suffix("").as_posix()
    places = [path.parent / text, path.parent / Path(text).name]
    if images is not None:
        places = [images / text, images / Path(text).name]
    height, width = content.get("imageHeight"), content.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    draw = partial(draw_shapes, shapes, overlap, str(path))
    image = next((place for place in places if text and place.is_file()), None)
    if image is not None:
        return AnnotatedImage(name, image, draw, (path,), size)
    if not content.get("imageData"):
        raise DataError(
            f"{path} names the image {text!r}, which is missing, and holds none; give its folder with "
            "--images"
        )
    suffix = Path(text).suffix or ".png"
    embedded = partial(_embedded, path)
    return AnnotatedImage(name, Path(f"{name}{suffix}"), draw, (path,), size, embedded)


def _embedded(path: Path) -> bytes:
    """The image inside a labelme file, as stored."""
    try:
        return base64.b64decode(read_json(path)["imageData"])
    except (*MALFORMED, binascii.Error) as error:
        raise malformed(path, "its imageData", error) from error


def _read_voc(source: Path, images: Path | None) -> Annotations:
    """labelme2voc's folder: class_names.txt, SegmentationClass/*.png (or .npy), JPEGImages/."""
    listing = source / "class_names.txt"
    names = [one_line(line) for line in read_lines(listing)]
    names = [name for name in names if name != IGNORED_NAME]
    places = [source / name for name in ("SegmentationClassPNG", "SegmentationClass")]
    masks = next((place for place in places if list_images(place, (".png", ".npy"))), places[1])
    found = []
    for path in list_images(masks, (".png", ".npy")):
        draw = partial(draw_mask, path, MaskRule("ids", ClassTable(tuple(names))))
        folders = [images] if images else [source / "JPEGImages"]
        found.append(
            AnnotatedImage(path.stem, image_of(path.stem, folders, path), draw, (path, listing))
        )
    if not found:
        raise DataError(f"{masks} has no masks; expected those of labelme2voc")
    background = _BACKGROUND if _BACKGROUND in names else None
    drawn = frozenset(names) - {_BACKGROUND}
    return Annotations(tuple(names), found, (), background, drawn)
