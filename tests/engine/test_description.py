"""model.json as a stranger may have written it: every entry has a type and a limit."""

import json
from pathlib import Path
from typing import Any

import pytest

from crosstask.data.feeding import Feeding, common
from crosstask.engine import rebuilding
from crosstask.engine.description import ModelFileError, check_description, read_description
from crosstask.models import create_model
from fakes.scenes import scene_tasks


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    tasks = scene_tasks(("segmentation", "depth"))
    network = create_model("densemtl", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    feeding = Feeding(size=(32, 64), fit="keep", aspects=(1.0, 2.0)).to_spec()
    described = rebuilding.describe(network, tasks, size=[32, 64], feeding=feeding)
    return json.loads(json.dumps(described))


def changed(description: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(description))
    *folders, name = place.split("/")
    inside = copy
    for folder in folders:
        inside = inside[int(folder) if isinstance(inside, list) else folder]
    inside[name] = value
    return copy


def test_what_this_program_writes_passes(good: dict[str, Any]) -> None:
    assert check_description(good) == good
    rebuilding.build(good)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema_version", "1"),
        ("schema_version", True),
        ("schema_version", None),
        ("schema_version", 0),
        ("schema_version", 1.5),
        ("model", None),
        ("model", [1]),
        ("model/architecture", 3),
        ("model/encoder", None),
        ("model/encoder", "hf-hub:somebody/something"),
        ("model/encoder", "../../resnet18"),
        ("model/width", "1"),
        ("model/width", -1.0),
        ("model/width", 0),
        ("model/width", 1e9),
        ("model/width", float("nan")),
        ("model/width", 10**400),
        ("model/normalization", 2),
        ("model/normalization", {"mean": [0.5, 0.5, 0.5]}),
        ("model/normalization", {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.0, 0.5]}),
        ("model/normalization", {"mean": [0.5, 0.5, 0.5], "std": [0.5, "a", 0.5]}),
        ("model/output_stride", 10**9),
        ("model/options", None),
        ("model/options", {"levels": [10**9]}),
        ("model/options", {"levels": float("inf")}),
        ("tasks", {}),
        ("tasks", []),
        ("tasks", [None]),
        ("tasks", [{"type": 3}]),
        ("tasks", [{"type": "Depth"}] * 100_000),
        ("training_camera", [1]),
        ("training_camera", {"focal": [60.0]}),
        ("size", [0, 64]),
        ("size", [10**9, 10**9]),
        ("size", "32x64"),
        ("size", [32]),
        ("size", [32.5, 64]),
        ("feeding", [32, 64]),
        ("feeding", {"size": [32, 64], "fit": "stretch"}),
        ("feeding", {"size": [32], "fit": "keep"}),
        ("feeding", {"size": [32, 64], "fit": "keep", "aspects": [0, 1]}),
        ("feeding", {"size": [32, 64], "fit": "keep", "aspects": [2.0, 1.0]}),
        ("feeding", {"size": [32, 64], "fit": "keep", "channels": []}),
        ("feeding", {"size": [32, 64], "fit": "keep", "channels": [3]}),
        ("feeding", {"size": [32, 64], "fit": "keep", "ranges": {"depth": [10]}}),
        ("units", "x" * 100_000),
        ("notes", list(range(100_000))),
    ],
)
def test_impossible_entries_are_named(good: dict[str, Any], place: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=r"expected|holds|incomplete or damaged"):
        rebuilding.build(changed(good, place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model/architecture", "densmtl"),
        ("model/normalization", "x"),
        ("model/options", {"levels": "x"}),
        ("model/options", {"fusion": 3}),
        ("model/options", {"nothing": 3}),
        ("model/encoder", "resnet10000"),
        ("tasks/0/classes", 7.5),
        ("tasks/0/classes", [{"name": "a", "color": [0, 0, 0]}] * 300),
        ("tasks/0/classes", 100_000),
        ("tasks/0/type", "Nothing"),
        ("tasks/1/near", "x"),
    ],
)
def test_entries_that_no_part_knows_are_refused(
    good: dict[str, Any], place: str, value: Any
) -> None:
    with pytest.raises(ModelFileError, match="here"):
        rebuilding.build(changed(good, place, value), "here")


def test_the_value_range_is_refused_with_the_files_name(good: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match=r"here: `value_range` is 'evil\.py:go'"):
        rebuilding.build({**good, "value_range": "evil.py:go"}, "here")


def test_whatever_headers_say_the_recorded_aspects_can_be_read_again(good: dict[str, Any]) -> None:
    aspects = common([1.5, 1 / 2400, 1e9])
    feeding = {"size": [32, 64], "fit": "keep", "aspects": aspects and list(aspects)}
    rebuilding.build({**good, "feeding": feeding}, "here")


def test_the_channels_of_the_feeding_are_refused_with_the_files_name(good: dict[str, Any]) -> None:
    feeding = {"size": [32, 64], "fit": "keep", "channels": ["red", "green"]}
    with pytest.raises(ModelFileError, match="here: `channels` is red,green"):
        rebuilding.build({**good, "feeding": feeding}, "here")


def test_nesting_and_size_are_bounded(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    nested: Any = {}
    for _ in range(50):
        nested = {"a": nested}
    start = {"library": "crosstask", "schema_version": 1}
    file.write_text(json.dumps(start | {"x": nested}))
    with pytest.raises(ModelFileError, match="nested deeper"):
        read_description(file)
    file.write_text("[" * 200_000)
    with pytest.raises(ModelFileError, match="damaged"):
        read_description(file)
    file.write_text('"' + "x" * 9_000_000 + '"')
    with pytest.raises(ModelFileError, match="expected at most"):
        read_description(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelFileError, match="damaged"):
        read_description(file)
    with pytest.raises(ModelFileError, match=r"no model\.json"):
        read_description(tmp_path / "absent.json")
