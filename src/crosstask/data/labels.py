"""Class tables of the datasets, and tables from stored ids to class indices.

Sources: cityscapesScripts' label list; the 40 and 13 class maps of NYUDv2 (Gupta et al. 2013,
Couprie et al. 2013); the SYNTHIA archives' READMEs and the 16-class map of ADVENT; Virtual KITTI
2.0.3's `colors.txt`; SegNet's 11 CamVid classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from crosstask.data.sample import DataError
from crosstask.tasks.classes import ClassTable

VOID = 255
_UNKNOWN, _DEEP_UNKNOWN = 254, -1  # marks of values that a table does not know

Color = tuple[int, int, int]
T = TypeVar("T")


def lookup(
    index: Mapping[int, int], known: Iterable[int], size: int = 256, void: int = VOID
) -> np.ndarray:
    """Table from stored id to class index: void for known ids without a class, a mark for others.

    Bytes, or int32 where `void` is more than one.

    Args:
        index: Class index by stored id.
        known: Every id that the format allows.
        size: One more than the largest id that a pixel can hold.
        void: Label of a pixel without a class.
    """
    table = _empty_table(size, void)
    table[list(known)] = void
    for stored, target in index.items():
        table[stored] = target
    return table


def _empty_table(size: int, void: int) -> np.ndarray:
    deep = void > VOID
    return np.full(size, _DEEP_UNKNOWN if deep else _UNKNOWN, np.int32 if deep else np.uint8)


def _mark(table: np.ndarray) -> int:
    return _UNKNOWN if table.dtype == np.uint8 else _DEEP_UNKNOWN


def apply_lookup(ids: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Class indices, in the table's data type, of an array of stored ids.

    Raises:
        DataError: A pixel holds an id that the table does not know; names file and values.
    """
    if ids.dtype != np.uint8 and int(ids.max(initial=0)) >= len(table):
        wrong = sorted({int(v) for v in np.unique(ids) if v >= len(table)})
        raise _unknown(path, wrong, table)
    classes = np.take(table, ids)  # twice as fast as table[ids]
    unknown = classes == _mark(table)
    if unknown.any():
        raise _unknown(path, [int(v) for v in np.unique(ids[unknown])], table)
    return classes


def _unknown(path: Path, values: Sequence[int], table: np.ndarray) -> DataError:
    shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    known = np.flatnonzero(table != _mark(table))
    return DataError(
        f"{path} holds the label value {shown}; the table knows {len(known)} values "
        f"from {known[0]} to {known[-1]}. Is this the label file of another edition or dataset?"
    )


class ColorLookup:
    """Exact-match palette: (H,W,3) colours to class indices through one packed 24-bit table."""

    def __init__(self, colors: Mapping[Color, int]) -> None:
        self.colors = dict(colors)
        self._table: np.ndarray | None = None

    def _filled(self) -> np.ndarray:
        table = _empty_table(1 << 24, max(self.colors.values(), default=VOID))
        for (r, g, b), index in self.colors.items():
            table[(r << 16) | (g << 8) | b] = index
        return table

    def __call__(
        self, red: np.ndarray, green: np.ndarray, blue: np.ndarray, path: Path
    ) -> np.ndarray:
        """Class indices of three uint8 planes: uint8, or int32 where an index is larger.

        Raises:
            DataError: A colour outside the palette; names file and colour.
        """
        if self._table is None:
            self._table = self._filled()
        packed = red.astype(np.int32)
        for plane in (green, blue):
            packed <<= 8
            packed |= plane
        classes = np.take(self._table, packed)
        unknown = classes == _mark(self._table)
        if unknown.any():
            value = int(packed[unknown][0])
            colour = (value >> 16, (value >> 8) & 255, value & 255)
            raise DataError(f"{path} holds the colour {colour}, which is not in the palette")
        return classes

    def __getstate__(self) -> dict[str, object]:
        return {"colors": self.colors, "_table": None}


def voc_colormap(count: int) -> tuple[Color, ...]:
    """The PASCAL VOC colours of indices 0..count-1: bits of the index, spread over three channels."""
    colors = []
    for index in range(count):
        r = g = b = 0
        for bit in range(8):
            value = index >> (3 * bit)
            r |= (value & 1) << (7 - bit)
            g |= (value >> 1 & 1) << (7 - bit)
            b |= (value >> 2 & 1) << (7 - bit)
        colors.append((r, g, b))
    return tuple(colors)


def subset(table: ClassTable, names: Sequence[str]) -> ClassTable:
    """The classes of a table with these names, in this order."""
    return ClassTable(tuple(names), tuple(table.colors[table.names.index(name)] for name in names))


# Cityscapes -----------------------------------------------------------------------------------

_CITYSCAPES: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
CITYSCAPES_19 = ClassTable(tuple(c[0] for c in _CITYSCAPES), tuple(c[2] for c in _CITYSCAPES))
CITYSCAPES_16 = subset(
    CITYSCAPES_19, [n for n in CITYSCAPES_19.names if n not in ("terrain", "truck", "train")]
)
CITYSCAPES_13 = subset(
    CITYSCAPES_16, [n for n in CITYSCAPES_16.names if n not in ("wall", "fence", "pole")]
)
STREET_8 = ClassTable(
    ("road", "building", "pole", "traffic light", "traffic sign", "vegetation", "sky", "vehicle"),
    tuple(
        CITYSCAPES_19.colors[CITYSCAPES_19.names.index(name)]
        for name in (
            "road",
            "building",
            "pole",
            "traffic light",
            "traffic sign",
            "vegetation",
            "sky",
            "car",
        )
    ),
)
CITYSCAPES_7 = ClassTable(
    ("flat", "construction", "object", "nature", "sky", "human", "vehicle"),
    tuple(
        CITYSCAPES_19.colors[CITYSCAPES_19.names.index(name)]
        for name in ("road", "building", "pole", "vegetation", "sky", "person", "car")
    ),
)
CITYSCAPES_IDS = range(34)
CITYSCAPES_ID = {name: stored for name, stored, _ in _CITYSCAPES}
CITYSCAPES_SKY = (23,)
CITYSCAPES_EGO = (1, 2, 3)  # ego vehicle, rectification border, out of the region of interest


def _by_name(table: ClassTable, ids: Mapping[str, int]) -> dict[int, int]:
    return {ids[name]: index for index, name in enumerate(table.names)}


# Buses are vehicles and trucks are void in the paper's map (Virtual KITTI's trucks are vehicles).
_CITYSCAPES_8 = {7: 0, 11: 1, 17: 2, 19: 3, 20: 4, 21: 5, 23: 6, 26: 7, 28: 7}
# The seven official categories over the classes that are evaluated.
_CITYSCAPES_7 = {
    **dict.fromkeys((7, 8), 0),
    **dict.fromkeys((11, 12, 13), 1),
    **dict.fromkeys((17, 19, 20), 2),
    **dict.fromkeys((21, 22), 3),
    23: 4,
    **dict.fromkeys((24, 25), 5),
    **dict.fromkeys((26, 27, 28, 31, 32, 33), 6),
}
CITYSCAPES_TABLES: Mapping[int, tuple[ClassTable, Mapping[int, int]]] = {
    19: (CITYSCAPES_19, _by_name(CITYSCAPES_19, CITYSCAPES_ID)),
    16: (CITYSCAPES_16, _by_name(CITYSCAPES_16, CITYSCAPES_ID)),
    13: (CITYSCAPES_13, _by_name(CITYSCAPES_13, CITYSCAPES_ID)),
    8: (STREET_8, _CITYSCAPES_8),
    7: (CITYSCAPES_7, _CITYSCAPES_7),
}

# SYNTHIA --------------------------------------------------------------------------------------

# Stored ids by our class name; 22 (lane marking) of RAND is void, as in the 16-class literature.
SYNTHIA_RAND = {
    "road": 3, "sidewalk": 4, "building": 2, "wall": 21, "fence": 5, "pole": 7,
    "traffic light": 15, "traffic sign": 9, "vegetation": 6, "sky": 1, "person": 10, "rider": 17,
    "car": 8, "bus": 19, "motorcycle": 12, "bicycle": 11,
}  # fmt: skip
# The sequences have a shorter table; their lane markings (12) lie on the road and count as road.
SYNTHIA_SEQS = {
    "road": 3, "sidewalk": 4, "building": 2, "fence": 5, "pole": 7, "traffic light": 15,
    "traffic sign": 9, "vegetation": 6, "sky": 1, "person": 10, "car": 8, "bicycle": 11,
}  # fmt: skip
SYNTHIA_VARIANTS: Mapping[str, tuple[Mapping[str, int], range, Mapping[int, str]]] = {
    "rand": (SYNTHIA_RAND, range(23), {}),
    "seqs": (SYNTHIA_SEQS, range(16), {12: "road"}),
}

# Virtual KITTI 2 ------------------------------------------------------------------------------

VKITTI2_14 = ClassTable(
    (
        "terrain", "sky", "tree", "vegetation", "building", "road", "guard rail", "traffic sign",
        "traffic light", "pole", "misc", "truck", "car", "van",
    ),
    (
        (210, 0, 200), (90, 200, 255), (0, 199, 0), (90, 240, 0), (140, 140, 140), (100, 60, 100),
        (250, 100, 255), (255, 255, 0), (200, 200, 0), (255, 130, 0), (80, 80, 80), (160, 60, 60),
        (255, 127, 80), (0, 139, 139),
    ),
)  # fmt: skip
_VKITTI2_8 = {
    "road": 0, "building": 1, "pole": 2, "traffic light": 3, "traffic sign": 4,
    "tree": 5, "vegetation": 5, "sky": 6, "truck": 7, "car": 7, "van": 7,
}  # fmt: skip
VKITTI2_UNDEFINED: Color = (0, 0, 0)
VKITTI2_TABLES: Mapping[int, tuple[ClassTable, Mapping[str, int]]] = {
    14: (VKITTI2_14, {name: index for index, name in enumerate(VKITTI2_14.names)}),
    8: (STREET_8, _VKITTI2_8),
}


def vkitti2_palette(classes: int) -> ColorLookup:
    """Palette of `classSegmentation` to the 14 or 8 classes; `Undefined` is void."""
    _, index = VKITTI2_TABLES[classes]
    colors = dict(zip(VKITTI2_14.colors, VKITTI2_14.names, strict=True))
    table = {color: index.get(name, VOID) for color, name in colors.items()}
    return ColorLookup({**table, VKITTI2_UNDEFINED: VOID})


# NYUDv2 ---------------------------------------------------------------------------------------

NYU_40 = ClassTable(
    (
        "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
        "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
        "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
        "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
        "bathtub", "bag", "other structure", "other furniture", "other prop",
    ),
    voc_colormap(41)[1:],
)  # fmt: skip
NYU_13 = ClassTable(
    (
        "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa",
        "table", "tv", "wall", "window",
    ),
    voc_colormap(14)[1:],
)  # fmt: skip
# 13-class number (from 1) of each of the 40 classes (from 1), as stored in class13Mapping.mat.
NYU_40_TO_13 = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5,
    7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7,
)  # fmt: skip
NYU_TABLES: Mapping[int, tuple[ClassTable, Mapping[int, int]]] = {
    40: (NYU_40, {stored: stored - 1 for stored in range(1, 41)}),
    13: (NYU_13, {stored: NYU_40_TO_13[stored - 1] - 1 for stored in range(1, 41)}),
}

# CamVid and PASCAL ----------------------------------------------------------------------------

CAMVID_11 = ClassTable(
    (
        "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car",
        "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
        (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip
CAMVID_VOID = 11

PASCAL_21 = ClassTable(
    (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
        "chair", "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant",
        "sheep", "sofa", "train", "tv monitor",
    ),
    voc_colormap(21),
)  # fmt: skip


def choose(tables: Mapping[int, T], classes: int, dataset: str) -> T:
    """The table with this number of classes; another number is an error that lists the choices."""
    if classes not in tables:
        raise DataError(f"`classes` is {classes}; {dataset} has {', '.join(map(str, tables))}")
    return tables[classes]
