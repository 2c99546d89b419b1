"""CVAT: "Segmentation mask 1.1" (labelmap.txt with masks) and "CVAT for images 1.1" (XML)."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from crosstask.data.convert.annotations import (
    IGNORED,
    MALFORMED,
    AnnotatedImage,
    Annotations,
    Overlap,
    Size,
    find_image,
    frame_name,
    malformed,
    one_line,
)
from crosstask.data.convert.shapes import Shape, Window, box, draw_shapes, ellipse, polygons
from crosstask.data.folder.masks import MaskRule
from crosstask.data.sample import DataError
from crosstask.media.listing import files_in, list_images
from crosstask.media.reading import MOST_BYTES, check_file, read_lines
from crosstask.tasks.classes import ClassTable

_MASKS, _LISTS = "SegmentationClass", Path("ImageSets") / "Segmentation"
_NO_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")
_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


def read_cvat(
    source: Path, images: Path | None = None, overlap: Overlap | None = None
) -> Annotations:
    """An unpacked export: a folder with labelmap.txt, or one with annotations.xml (or that file).

    Args:
        source: the folder or file.
        images: folder of the images; else looked for in the export.
        overlap: of shapes in XML; "order" (z order, then the order drawn) unless said otherwise.

    Raises:
        DataError: neither of the two, or not as CVAT writes it.
    """
    if source.is_dir() and (source / "labelmap.txt").is_file():
        return _read_masks(source, images)
    path = source / "annotations.xml" if source.is_dir() else source
    if path.suffix.lower() != ".xml" or not path.is_file():
        raise DataError(
            f"{source} has no labelmap.txt and no annotations.xml; export the task as `Segmentation "
            "mask 1.1` or `CVAT for images 1.1`, and unpack the .zip"
        )
    return _read_xml(path, images, overlap or "order")


# Segmentation mask 1.1 ------------------------------------------------------------------------


def _read_masks(source: Path, images: Path | None) -> Annotations:
    listing = source / "labelmap.txt"
    names, colors = [], []
    for line in read_lines(listing):
        try:
            name, color = line.split(":")[:2]
            red, green, blue = (int(value) for value in color.split(","))
        except ValueError as error:
            raise malformed(listing, f"the line {line!r}", error) from error
        names.append(one_line(name))
        colors.append((red, green, blue))
    table = ClassTable(tuple(names), tuple(colors))
    background = next((name for name in names if name.lower() == "background"), None)
    masks, found = source / _MASKS, []
    folders = [images] if images else [source / "JPEGImages", source / "images", source]
    for path in list_images(masks, (".png",), nested=True):
        name = path.relative_to(masks).with_suffix("").as_posix()
        image = image_of(name, folders, path)
        draw = partial(draw_mask, path, MaskRule("colors", table))
        found.append(AnnotatedImage(name, image, draw, (path, listing)))
    if not found:
        raise DataError(f"{masks} has no masks; export the task as `Segmentation mask 1.1`")
    drawn = frozenset(names) - {background}
    parts = _listed_parts(source / _LISTS, {one.name for one in found})
    return Annotations(
        table.names, found, table.colors, background, frozenset(filter(None, drawn)), parts
    )


def draw_mask(path: Path, rule: MaskRule, size: Size) -> np.ndarray:
    """(H,W) int32 map of a stored mask; its void is `IGNORED`."""
    stored = rule.read(path)
    if stored.shape != size:
        raise DataError(f"{path} is {stored.shape}, but its image is {size} (height, width)")
    return np.where(stored == rule.result_void, IGNORED, stored.astype(np.int32))


def image_of(name: str, folders: list[Path], mask: Path) -> Path:
    """The image of this name (no suffix) in one of the folders."""
    for folder in folders:
        for path in folder.glob(f"{_escaped(name)}.*") if folder.is_dir() else ():
            # `1.*` finds 1.5.png too, the image of another moment.
            mine = path.with_suffix("").name == PurePosixPath(name).name
            if mine and path != mask and path in list_images(path.parent):
                return path
    raise DataError(
        f"{mask} has no image {name}.* in {', '.join(map(str, folders))}; export with `Save images`, "
        "or give their folder with --images"
    )


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _listed_parts(folder: Path, names: set[str]) -> dict[str, list[str]]:
    """Names by split where lists called train and val divide them."""
    parts = {}
    for path in files_in(folder) if folder.is_dir() else ():
        part = _PARTS.get(path.stem.lower())
        if part and path.suffix == ".txt":
            parts[part] = [name for name in read_lines(path) if name in names]
    return parts if "train" in parts else {}


# CVAT for images 1.1 --------------------------------------------------------------------------


def _read_xml(path: Path, images: Path | None, overlap: Overlap) -> Annotations:
    root = _parse(path)
    if root.find("track") is not None:
        raise DataError(
            f"{path} holds tracks of a video; export the task as `CVAT for images 1.1` or `Segmentation "
            "mask 1.1`"
        )
    names, colors = _labels(path, root)
    found, parts, left_out = [], dict[str, list[str]](), dict[str, int]()
    drawn: set[str] = set()
    folders = [images] if images else [path.parent / "images", path.parent, path.parent / "data"]
    for entry in root.iter("image"):
        try:
            text, subset = entry.attrib["name"], entry.get("subset", "")
            size = (int(entry.attrib["height"]), int(entry.attrib["width"]))
            shapes = tuple(_shapes(entry, names, left_out))
        except MALFORMED as error:
            raise malformed(path, f"the image {entry.get('name')!r}", error) from error
        drawn |= {names[shape.label] for shape in shapes}
        name = frame_name(text, path)
        places = [folder / subset for folder in folders if subset] + folders
        draw = partial(draw_shapes, shapes, overlap, f"{path}, {text}")
        found.append(AnnotatedImage(name, find_image(text, places, path), draw, (path,), size))
        if part := _PARTS.get(subset.lower()):
            parts.setdefault(part, []).append(name)
    if not found:
        raise DataError(f"{path} has no images; export the task as `CVAT for images 1.1`")
    background = next((name for name in names if name.lower() == "background"), None)
    notes = [
        f"{count} shapes of the kind {kind} have no area and are left out"
        for kind, count in left_out.items()
    ]
    return Annotations(
        names, found, colors, background, frozenset(drawn), parts if "train" in parts else {},
        overlap, notes,
    )  # fmt: skip


def _parse(path: Path) -> ElementTree.Element:
    check_file(path, MOST_BYTES)
    with path.open("rb") as file:
        head = file.read(2000).lower()
    if b"<!doctype" in head or b"<!entity" in head:
        raise DataError(f"{path} declares entities, which CVAT never does; it is not read")
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not a sound XML file ({error}); export it again") from error


def _labels(
    path: Path, root: ElementTree.Element
) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Names and colours of the labels in the order of the task; without them, those that are used."""
    entries = [entry for entry in root.iter("label") if entry.find("name") is not None]
    names = dict.fromkeys(one_line(entry.findtext("name")) for entry in entries)
    if not names:
        used = {shape.get("label") for image in root.iter("image") for shape in image}
        names = dict.fromkeys(sorted(one_line(name) for name in used if name))
    if not names:
        raise DataError(f"{path} has no labels; export the task as `CVAT for images 1.1`")
    texts = [(entry.findtext("color") or "").removeprefix("#") for entry in entries]
    try:
        colors = tuple((int(t[:2], 16), int(t[2:4], 16), int(t[4:6], 16)) for t in texts)
    except ValueError:
        colors = ()
    distinct = len(set(colors)) == len(colors) == len(names)
    return tuple(names), colors if distinct else ()


def _shapes(
    image: ElementTree.Element, names: tuple[str, ...], left_out: dict[str, int]
) -> Iterator[Shape]:
    for entry in image:
        if entry.tag in _NO_AREA:
            left_out[entry.tag] = left_out.get(entry.tag, 0) + 1
            continue
        values = entry.attrib
        region = _region(entry.tag, values)
        if region is not None:
            label = names.index(one_line(values["label"]))
            yield Shape(label, region, int(values.get("z_order", 0)))


def _region(kind: str, values: Mapping[str, str]) -> Any:
    turn = float(values.get("rotation", 0))
    if kind == "polygon":
        points = values["points"].replace(";", ",").split(",")
        return polygons([[float(point) for point in points]])
    if kind == "box":
        left, top, right, bottom = (float(values[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
        return box(left, top, right, bottom, turn)
    if kind == "ellipse":
        x, y, across, down = (float(values[k]) for k in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, across, down, turn)
    if kind == "mask":
        width, height, top, left = (int(values[k]) for k in ("width", "height", "top", "left"))
        runs = [int(run) for run in values["rle"].replace(",", " ").split()]
        if min(runs, default=-1) < 0 or sum(runs) != width * height:
            raise ValueError(f"the run lengths of a mask of {width} x {height} pixels")
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        return Window(pixels, top, left)
    raise ValueError(f"the shape {kind!r}")
