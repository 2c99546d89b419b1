"""Columns are found by their usual names, or named; what is wrong is told with all columns and their types."""

import datasets
import pytest

from crosstask.data.hub.columns import choose_columns
from crosstask.data.sample import DataError

KINDS = ("image", "segmentation", "depth", "normals", "edges", "intrinsics")
MAP = datasets.Array2D((4, 6), "float32")
FEATURES = {
    "pixel_values": datasets.Image(),
    "label": datasets.List(datasets.List(datasets.ClassLabel(names=["a", "b"]))),
    "Depth_Map": MAP,
    "K": datasets.List(datasets.Value("float64")),
    "annotations": datasets.Value("string"),
    "scene": datasets.ClassLabel(names=["kitchen"]),
}


def test_usual_names_are_found_where_the_type_fits() -> None:
    assert choose_columns(None, FEATURES, KINDS) == {
        "image": "pixel_values",
        "segmentation": "label",
        "depth": "Depth_Map",
        "intrinsics": "K",
    }


def test_the_targets_own_name_counts_before_others() -> None:
    both = {"image": datasets.Image(), "left": datasets.Image(), "depth": MAP, "range": MAP}
    assert choose_columns(None, both, KINDS) == {"image": "image", "depth": "depth"}


def test_several_usual_names_are_an_error() -> None:
    features = {"rgb": datasets.Image(), "img": datasets.Image()}
    with pytest.raises(DataError, match="rgb and img could each be image; say which, `columns`"):
        choose_columns(None, features, KINDS)


@pytest.mark.parametrize("given", ["depth=Depth_Map", {"depth": "Depth_Map"}])
def test_named_columns_count_alone_beside_the_image(given: str | dict[str, str]) -> None:
    chosen = choose_columns(given, FEATURES, KINDS)
    assert chosen == {"image": "pixel_values", "depth": "Depth_Map"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("depth=deep", "depth=deep, which the set lacks"),
        ("depth=annotations", "depth=annotations, which cannot be read as depth"),
        ("depth=scene", "depth=scene, which cannot be read as depth"),
        ("image=Depth_Map", "image=Depth_Map, which cannot be read as image"),
    ],
)
def test_a_column_that_is_not_there_or_does_not_fit(given: str, text: str) -> None:
    columns = (
        r"its columns: pixel_values \(image\), label \(2-D class labels\), Depth_Map \(2-D float32\), "
        r"K \(1-D float64\), annotations \(string\), scene \(class labels\)"
    )
    with pytest.raises(DataError, match=f"{text}.*{columns}"):
        choose_columns(given, FEATURES, KINDS)


def test_what_is_no_image_is_told() -> None:
    with pytest.raises(DataError, match=r"no column is called image.*its columns: depth"):
        choose_columns(None, {"depth": MAP}, KINDS)


@pytest.mark.parametrize(
    ("given", "text"), [("dpeth=a", "'dpeth'.*depth"), ("depth", "'depth' names no column")]
)
def test_words_that_are_no_columns(given: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        choose_columns(given, FEATURES, KINDS)
