"""Names of crosstask, registered names, files and the things themselves: one way to look up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crosstask
from crosstask.plugins import find as lookups
from crosstask.plugins.find import find, recorded, register, registered


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lookups, "_REGISTERED", {kind: {} for kind in lookups.KINDS})
    yield


def look(given: Any) -> Any:
    return find("balancing", given, {"paper": dict}, lambda t: isinstance(t, type), "a class")


def test_every_way_to_give_a_thing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: ...\nnumber = 3\n")
    mine = look(f"{tmp_path}/mine.py:Mine")
    assert mine.__name__ == "Mine"
    assert look("paper") is dict and look(list) is list
    assert crosstask.register("balancing", mine) is mine and look("Mine") is mine
    register("balancing", list, "other")
    assert look("other") is list and list(registered("balancing")) == ["Mine", "other"]
    assert registered("task") == {}


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("number = 3\n")
    with pytest.raises(ValueError, match=r"did you mean paper.*Your own: path/to"):
        look("papre")
    with pytest.raises(ValueError, match=r"mine\.py:number, an int; expected a class"):
        look(f"{file}:number")
    with pytest.raises(ValueError, match="without a second"):
        look(f"{file}:number:a=1")
    with pytest.raises(ValueError, match="`balancing` is 3, an int; expected a class"):
        look(3)
    register("balancing", list, "paper")
    with pytest.raises(ValueError, match="register yours by another name"):
        look("paper")
    with pytest.raises(ValueError, match="did you mean balancing"):
        register("balancer", list)
    with pytest.raises(ValueError, match="`name` is 'a b'"):
        register("task", list, "a b")


def test_what_a_model_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recorded("densemtl") == "densemtl"
    assert recorded("mine.py:net") == f"{tmp_path}/mine.py:net"
    assert recorded("mine.py:Geo:floor=1") == f"{tmp_path}/mine.py:Geo:floor=1"
    Path("mine.py").write_text("class Mine: ...\n")
    assert recorded(look("mine.py:Mine")) == f"{tmp_path}/mine.py:Mine"
    assert not lookups.is_recordable(recorded(type("Local", (), {"__qualname__": "f.<locals>.L"})))
