"""Masks as annotation tools write them: decoded exactly, or an error that names the option."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosstask.data.folder.binary_maps import read_binary
from crosstask.data.folder.classes import declared_classes
from crosstask.data.folder.mask_detection import find_rule
from crosstask.data.folder.masks import MaskRule
from crosstask.data.sample import DataError
from crosstask.tasks.classes import ClassTable
from fakes.png import write_png

COLORS = ((90, 80, 70), (150, 160, 200), (200, 40, 40))
TABLE = ClassTable(("floor", "wall", "box"), COLORS)
PAIR = ClassTable(("background", "crack"))
IDS = np.array([[0, 1, 2, 2], [0, 1, 1, 255]], np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif array.dtype == np.uint8:
        Image.fromarray(array).save(path)
    else:
        write_png(path, array)
    return path


def painted(ids: np.ndarray) -> np.ndarray:
    return np.array([*COLORS, *[(0, 0, 0)] * 253], np.uint8)[ids]


def save_palette(path: Path, ids: np.ndarray, colors: list[tuple[int, int, int]]) -> Path:
    image = Image.fromarray(ids)
    image.putpalette([value for color in colors for value in color])
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("a.png", IDS, "ids"),
        ("a.png", IDS.astype(np.uint16), "ids"),
        ("a.png", np.where(IDS == 255, 65535, IDS).astype(np.uint16), "ids"),
        ("a.npy", np.where(IDS == 255, -1, IDS).astype(np.int8), "ids"),
        ("a.npy", IDS.astype(np.int64), "ids"),
        ("a.bmp", IDS, "ids"),
        ("a.png", np.repeat(IDS[..., None], 3, axis=-1), "ids"),
        ("a.png", painted(IDS), "colors"),
        ("a.png", np.dstack([painted(IDS), np.full(IDS.shape, 255, np.uint8)]), "colors"),
    ],
)
def test_every_storage_gives_the_same_classes(
    tmp_path: Path, name: str, array: np.ndarray, kind: str
) -> None:
    path = save(tmp_path / name, array)
    rule = find_rule([path], TABLE, True)
    assert rule.kind == kind and (rule.read(path) == IDS).all()


@pytest.mark.parametrize("top", [255, 65535])
def test_two_classes_as_zero_and_the_largest_value(tmp_path: Path, top: int) -> None:
    dtype = np.uint8 if top == 255 else np.uint16
    paths = [save(tmp_path / f"{i:02d}.png", np.zeros((2, 3), dtype)) for i in range(30)]
    cracked = np.array([[0, top, 0], [0, 0, top]], dtype)
    save(paths[29], cracked)  # the only mask that tells, and none of those looked at first
    rule = find_rule(paths, PAIR, False)
    assert rule.kind == "binary" and "255" in str(rule)
    assert (rule.read(paths[29]) == (cracked > 0)).all() and not rule.read(paths[0]).any()
    save(paths[3], np.full((2, 3), 1, dtype))
    with pytest.raises(DataError, match=r"03.png holds the label value 1.*`masks`"):
        rule.read(paths[3])


def test_two_classes_as_ids_keep_255_as_void(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 1, 255]], np.uint8))
    assert find_rule([path], PAIR, False).read(path).tolist() == [[0, 1, 255]]
    path = save(tmp_path / "b.png", np.array([[0, 255]], np.uint8))
    assert find_rule([path], PAIR, False, "ids").read(path).tolist() == [[0, 255]]


def test_black_and_white_colours_say_which_class_is_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 255]], np.uint8))
    table = ClassTable(("crack", "background"), ((255, 255, 255), (0, 0, 0)))
    assert find_rule([path], table, True).read(path).tolist() == [[1, 0]]


def test_a_palette_holds_ids_or_colours_and_never_a_guess(tmp_path: Path) -> None:
    own = save_palette(tmp_path / "own.png", IDS % 255, list(COLORS))
    assert (find_rule([own], TABLE, True).read(own) == IDS % 255).all()
    foreign = save_palette(tmp_path / "foreign.png", IDS % 255, [(9, 9, 9), (1, 2, 3), (4, 5, 6)])
    assert (find_rule([foreign], TABLE, True).read(foreign) == IDS % 255).all()
    beyond = save_palette(tmp_path / "beyond.png", IDS % 255 + 3, [(0, 0, 0)] * 3 + [*COLORS])
    assert (find_rule([beyond], TABLE, True).read(beyond) == IDS % 255).all()
    turned = save_palette(tmp_path / "turned.png", IDS % 255, [*COLORS[::-1]])
    with pytest.raises(DataError, match="`masks`: ids or colors"):
        find_rule([turned], TABLE, True)
    assert (find_rule([turned], TABLE, True, "ids").read(turned) == IDS % 255).all()
    assert (find_rule([turned], TABLE, True, "colors").read(turned) == 2 - IDS % 255).all()


def test_palettes_that_differ_from_file_to_file_hold_no_ids(tmp_path: Path) -> None:
    """As tools make them that choose the colours of each image: its first colour is index 0."""
    black, red, green = (0, 0, 0), (200, 0, 0), (0, 200, 0)
    for number, colors in enumerate(([black, red, green], [red, black, green])):
        save_palette(tmp_path / f"{number}.png", np.array([[0, 0, 1, 1]], np.uint8), colors)
    files = sorted(tmp_path.glob("*.png"))
    with pytest.raises(DataError, match=r"1.png gives the index 0 another colour.*masks: ids"):
        find_rule(files, TABLE, False)
    assert find_rule(files, TABLE, False, "ids").read(files[1]).tolist() == [[0, 0, 1, 1]]
    table = ClassTable(("black", "red", "green"), (black, red, green))
    assert find_rule(files, table, True, "colors").read(files[1]).tolist() == [[1, 1, 0, 0]]
    same = [save_palette(tmp_path / f"same{n}.png", IDS % 255, [red, green, black]) for n in "ab"]
    assert find_rule(same, TABLE, False).kind == "ids"


@pytest.mark.parametrize("masks", ["ids", "binary", "colors", "auto"])
@pytest.mark.parametrize("grey", [0, 255])
def test_what_is_transparent_is_read_by_no_rule(tmp_path: Path, masks: str, grey: int) -> None:
    """An object drawn in alpha alone: everything was one class."""
    alpha = np.array([[0, 0, 255]], np.uint8)
    for planes in (2, 4):
        color = np.full((1, 3, planes), grey, np.uint8)
        color[..., -1] = alpha
        path = tmp_path / f"{planes}.png"
        Image.fromarray(color).save(path)
        table = ClassTable(("background", "object"), ((0, 0, 0), (255, 255, 255)))
        with pytest.raises(DataError, match="transparent pixels"):
            find_rule([path], table, True, masks).read(path)
        with pytest.raises(DataError, match="transparent pixels"):
            read_binary(path, unknown=False)
        color[..., -1] = 255
        Image.fromarray(color).save(path)
        assert (read_binary(path, unknown=False) == (grey > 0)).all()


def test_a_colour_that_is_no_class_is_named(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.png", painted(IDS)), painted(IDS)
    second[0, 0] = (90, 80, 71)
    with pytest.raises(DataError, match=r"b.png holds the colour \(90, 80, 71\)"):
        find_rule([first], TABLE, True).read(save(tmp_path / "b.png", second))
    with pytest.raises(DataError, match="no colours, one for each class"):
        find_rule([first], TABLE, False)


def test_another_void_and_what_cannot_be_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 2, 99]], np.uint8))
    assert find_rule([path], TABLE, True, void=99).read(path).tolist() == [[0, 2, 255]]
    with pytest.raises(DataError, match="label value 99"):
        find_rule([path], TABLE, True).read(path)
    with pytest.raises(DataError, match="`void` is 2; expected an id that is not a class"):
        find_rule([path], TABLE, True, void=2)
    with pytest.raises(DataError, match="`masks` is 'colours'"):
        find_rule([path], TABLE, True, "colours")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_from_1_leave_0_unlabelled(tmp_path: Path, dtype: type) -> None:
    """As ADE20K has them: what was class 0 by mistake, or an error at the last class."""
    path = save(tmp_path / "a.png", np.array([[0, 1, 2, 3]], dtype))
    rule = find_rule([path], TABLE, True, "ids_from_1")
    assert rule.read(path).tolist() == [[255, 0, 1, 2]]
    assert str(rule) == "class ids 1 to 3; 0 and 255 are void"
    with pytest.raises(
        DataError, match=r"label value 3.*classes are 1 to 3, say `masks: ids_from_1`"
    ):
        find_rule([path], TABLE, True).read(path)
    with pytest.raises(
        DataError, match="classes are 1 to 3, leave it out and say `masks: ids_from_1`"
    ):
        find_rule([path], TABLE, True, void=0)
    with pytest.raises(DataError, match="`void` is 3; expected an id that is not a class: 4 to"):
        find_rule([path], TABLE, True, "ids_from_1", void=3)
    save(path, np.array([[4]], dtype))
    with pytest.raises(DataError, match="label value 4"):
        rule.read(path)


def test_labelmes_ignore_is_no_class(tmp_path: Path) -> None:
    listing = tmp_path / "classes.txt"
    listing.write_text("__ignore__\n_background_\nfloor\n")
    declared = declared_classes(None, listing)
    assert declared is not None and declared.ignored
    assert declared.table.names == ("_background_", "floor")


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("floor\nwall\nfloor\n")
    with pytest.raises(DataError, match=r"classes\.txt: .*floor"):
        declared_classes(None, tmp_path / "classes.txt")
    (tmp_path / "classes.txt").write_text("floor 1 2 ²\nwall 1 2 " + "9" * 5000 + "\n")
    declared = declared_classes(None, tmp_path / "classes.txt")  # no colours, then
    assert declared is not None and declared.table.names[0] == "floor 1 2 ²"
    deep = save(tmp_path / "segmentation/a.npy", np.zeros((1, 1, 4, 5), np.uint8))
    with pytest.raises(DataError, match=r"a\.npy has the shape \(1, 1, 4, 5\)"):
        find_rule([deep], TABLE, False, "ids", 255).read(deep)


def test_an_unknown_id_is_told_with_the_ids_expected_and_the_option_for_void(
    tmp_path: Path,
) -> None:
    rule = MaskRule("ids", TABLE)
    path = save(tmp_path / "a.png", np.array([[0, 1, 3]], np.uint8))
    with pytest.raises(DataError, match=r"value 3; expected 0 to 2, 255\..*the option `void`"):
        rule.read(path)
