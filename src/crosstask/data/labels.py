"""Class tables of the datasets, and which stored id or colour is which of their classes.

Sources: cityscapesScripts' label list; the 40 and 13 class maps of NYUDv2 (Gupta et al. 2013,
Couprie et al. 2013); the SYNTHIA archives' READMEs and the 16-class map of ADVENT; Virtual KITTI
2.0.3's `colors.txt`; SegNet's 11 CamVid classes.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from crosstask.data.lookups import VOID, Color, ColorLookup
from crosstask.data.sample import DataError
from crosstask.tasks.classes import ClassTable

T = TypeVar("T")


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


def _colored(names: tuple[str, ...], like: Sequence[str]) -> ClassTable:
    """Classes in the colours of these Cityscapes classes."""
    return ClassTable(names, subset(CITYSCAPES_19, like).colors)


STREET_8 = _colored(
    ("road", "building", "pole", "traffic light", "traffic sign", "vegetation", "sky", "vehicle"),
    ("road", "building", "pole", "traffic light", "traffic sign", "vegetation", "sky", "car"),
)
CITYSCAPES_7 = _colored(
    ("flat", "construction", "object", "nature", "sky", "human", "vehicle"),
    ("road", "building", "pole", "vegetation", "sky", "person", "car"),
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
