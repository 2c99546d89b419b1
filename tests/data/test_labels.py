"""Class tables: complete, distinct, and strict about unknown ids."""

from pathlib import Path

import numpy as np
import pytest

from crosstask.data import labels, lookups
from crosstask.data.datasets.synthia import _id_table
from crosstask.data.sample import DataError

PATH = Path("some/label.png")
TABLES = [
    *((f"cityscapes{k}", t, lookups.lookup(i, labels.CITYSCAPES_IDS)) for k, (t, i) in labels.CITYSCAPES_TABLES.items()),
    *((f"nyu{k}", t, lookups.lookup(i, range(41))) for k, (t, i) in labels.NYU_TABLES.items()),
    ("synthia_rand", labels.CITYSCAPES_16, _id_table("rand", labels.CITYSCAPES_16)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "table", "lookup"), TABLES, ids=[t[0] for t in TABLES])
def test_every_class_is_reached(name: str, table: labels.ClassTable, lookup: np.ndarray) -> None:
    """As many distinct train ids as classes, for every dataset and class set."""
    reached = {int(v) for v in lookup if v < 254}
    assert reached == set(range(len(table)))
    assert len(table.colors) == len(table.names)


def test_cityscapes_by_hand() -> None:
    """cityscapesScripts: bus is id 28, trainId 15; bicycle 33, 18; licence plate is never stored."""
    lookup = lookups.lookup(labels.CITYSCAPES_TABLES[19][1], labels.CITYSCAPES_IDS)
    assert [int(lookup[i]) for i in (7, 21, 22, 23, 28, 31, 33, 0, 29)] == [
        0,
        8,
        9,
        10,
        15,
        16,
        18,
        255,
        255,
    ]
    assert labels.CITYSCAPES_19.colors[10] == (70, 130, 180)
    eight = lookups.lookup(labels.CITYSCAPES_TABLES[8][1], labels.CITYSCAPES_IDS)
    assert [int(eight[i]) for i in (7, 8, 26, 27, 28)] == [0, 255, 7, 255, 7]
    sixteen = lookups.lookup(labels.CITYSCAPES_TABLES[16][1], labels.CITYSCAPES_IDS)
    assert [int(sixteen[i]) for i in (22, 23, 27, 31, 28, 32, 33)] == [255, 9, 255, 255, 13, 14, 15]


def test_synthia_by_hand() -> None:
    """RAND: 21 wall, 15 light, 19 bus, 22 lane marking; SEQS: 12 is lane marking, not motorcycle."""
    rand = _id_table("rand", labels.CITYSCAPES_16)
    assert [int(rand[i]) for i in (3, 21, 15, 9, 17, 8, 19, 12, 11, 22, 0)] == [
        0,
        3,
        6,
        7,
        11,
        12,
        13,
        14,
        15,
        255,
        255,
    ]
    seqs = _id_table("seqs", labels.CITYSCAPES_16)
    assert [int(seqs[i]) for i in (3, 12, 11, 15)] == [0, 0, 15, 6]
    assert int(seqs[19]) == 254  # unknown there


def test_nyu_by_hand() -> None:
    """The 40 to 13 map: wall (1) is 12, floor (2) is 5, television (25) is 11, all counted from 1."""
    lookup = lookups.lookup(labels.NYU_TABLES[13][1], range(41))
    assert [int(lookup[i]) for i in (0, 1, 2, 25, 40)] == [255, 11, 4, 10, 6]
    assert labels.NYU_13.names[11] == "wall"
    assert labels.NYU_40.names[24] == "television"


def test_vkitti2_palette_round_trip() -> None:
    palette = labels.vkitti2_palette(14)
    colours = np.array([*labels.VKITTI2_14.colors, (0, 0, 0)], dtype=np.uint8)[None]
    ids = palette(colours[..., 0], colours[..., 1], colours[..., 2], PATH)
    assert ids.tolist() == [[*range(14), 255]]
    eight = labels.vkitti2_palette(8)(colours[..., 0], colours[..., 1], colours[..., 2], PATH)
    assert eight.tolist() == [[255, 6, 5, 5, 1, 0, 255, 4, 3, 2, 255, 7, 7, 7, 255]]
    with pytest.raises(DataError, match=r"some/label.png.*\(1, 2, 3\)"):
        one = np.full((1, 1), 1, np.uint8)
        palette(one, one * 2, one * 3, PATH)


def test_unknown_id_names_file_and_value() -> None:
    lookup = lookups.lookup({7: 0}, range(34))
    ids = np.array([[7, 0, 40], [77, 7, 7]], dtype=np.uint8)
    with pytest.raises(DataError, match=r"some/label.png holds the label value 40, 77"):
        lookups.apply_lookup(ids, lookup, PATH)
    with pytest.raises(DataError, match="value 293, 300, 333"):
        lookups.apply_lookup(ids.astype(np.int32) + 293, lookup, PATH)


def test_voc_colours_by_hand() -> None:
    """The published first colours of the VOC palette."""
    expected = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert labels.voc_colormap(5) == expected
    assert labels.PASCAL_21.colors[15] == (192, 128, 128)  # person
