"""`data check` tells of values that are legal in a file and cannot be right, in published sets too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fakes.folder
import fakes.nyudv2
import fakes.synthia
from crosstask.cli import main


def check(capsys: Any, name: str, root: Path, *options: str) -> dict[str, Any]:
    capsys.readouterr()
    command = ["data", "check", name, "--root", str(root), "--partial", "--workers", "0", *options]
    code = main([*command, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    return report["splits"]["train"]


def change(folder: Path, what: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in folder.glob("*.npy"):
        np.save(path, what(np.load(path)))


BAD = {
    "all NaN": ("depth", lambda a: np.full_like(a, np.nan), "no valid pixel"),
    "all zero": ("depth", np.zeros_like, "no valid pixel"),
    "1e30": (
        "depth",
        lambda a: np.where(a > 0, 1e30, a).astype(np.float32),
        "which no camera sees",
    ),
    "boolean": ("depth", lambda a: a > 0, "expected float metres"),
    "millimetres": ("depth", lambda a: a * 1000, "is its unit right"),
    "NaN in normals": ("normals", lambda a: np.full_like(a, np.nan), "NaN or infinite"),
    "normals of 0": ("normals", np.zeros_like, "every vector is 0"),
    "normals of 100": ("normals", lambda a: a * 100, "vectors of length 100"),
    "normals of 1e30": ("normals", lambda a: a * np.float32(1e30), "vectors of length 1e"),
    "turned away": ("normals", lambda a: -a, "point away from the camera"),
    "no edge": ("edge", np.zeros_like, "single positive pixel of edges"),
}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_values_of_a_published_set_are_defects(
    tmp_path: Path, capsys: Any, kind: str
) -> None:
    folder, what, said = BAD[kind]
    fakes.nyudv2.write(tmp_path, train=2, val=1, edition="NYUD_MT")
    change(tmp_path / folder, what)
    entry = check(capsys, "nyudv2", tmp_path)
    assert any(said in text for text in entry["defects"]), entry["defects"]
    main(["data", "check", "nyudv2", "--root", str(tmp_path), "--partial", "--workers", "0"])
    assert "nan degrees" not in capsys.readouterr().out.lower()


def test_a_sound_published_set_has_no_defect_and_says_what_was_assumed(
    tmp_path: Path, capsys: Any
) -> None:
    fakes.nyudv2.write(tmp_path, train=2, val=1, edition="NYUD_MT")
    entry = check(capsys, "nyudv2", tmp_path)
    assert not entry["defects"]
    depth, normals = entry["modalities"]["depth"], entry["modalities"]["normals"]
    assert depth["files"] == 2 and depth["sizes"] == {"85x112": 2}
    assert 0 < depth["range"][0] < depth["range"][1] < 50
    assert "metres" in depth["read_as"] and "void 0" in depth["read_as"]
    assert normals["range"][0] >= -1.001 and normals["range"][1] <= 1.001
    assert entry["image"]["files"] == 2 and "data type" in entry["image"]["read_as"]
    assert entry["camera"]["frames"] == 2 and 90 < entry["camera"]["focal"][0] < 110


def test_grey_edges_of_a_published_set_are_named_and_0_1_is_read(
    tmp_path: Path, capsys: Any
) -> None:
    fakes.nyudv2.write(tmp_path, train=2, val=1)
    right = check(capsys, "nyudv2", tmp_path)["modalities"]["edges"]["positive"]
    for path in (tmp_path / "edge").glob("*.png"):
        Image.fromarray(np.array(Image.open(path)) // 255).save(path)
    entry = check(capsys, "nyudv2", tmp_path)
    assert entry["modalities"]["edges"]["positive"] == right > 0
    grey = np.array(Image.open(path)) * 255
    grey[:4] = 77
    Image.fromarray(grey).save(tmp_path / "edge" / "0003.png")
    notes = check(capsys, "nyudv2", tmp_path)["notes"]
    assert any("grey values between the two (77" in text for text in notes)


@pytest.mark.parametrize("name", ["folder", "synthia"])
def test_every_dataset_tells_files_sizes_range_and_rule(
    tmp_path: Path, capsys: Any, name: str
) -> None:
    root = (fakes.folder if name == "folder" else fakes.synthia).write(tmp_path)
    entry = check(capsys, name, root)
    for facts in entry["modalities"].values():
        assert facts["files"] > 0 and facts["sizes"] and len(facts["range"]) == 2
        assert facts["read_as"] and 0 <= facts["void"] <= 1
    assert entry["computed"]["normals"] == "from depth"
    assert entry["computed"]["edges"].startswith("from segmentation, ")
    main(["data", "check", name, "--root", str(root), "--partial", "--workers", "0"])
    text = capsys.readouterr().out
    for part in ("read as", "image: ", "camera: of ", "values ", "most void: "):
        assert part in text


def test_preview_shows_the_least_labelled_first(tmp_path: Path, capsys: Any) -> None:
    from crosstask.data import FolderDataset
    from crosstask.data.tools.findings import Findings
    from crosstask.data.tools.inspection import inspect
    from crosstask.data.tools.preview import worst_first

    root = fakes.folder.write(tmp_path / "set")
    target = root / "segmentation" / "photo_04.png"
    ids = np.array(Image.open(target))
    ids[:40] = 255
    Image.fromarray(ids).save(target)
    data = FolderDataset(root, "all", ("segmentation",))
    total = Findings()
    for part in inspect(data, range(len(data))):
        total.add(part)
    order = [data.frames[index].name for index in worst_first(data, total.shares)]
    assert order[0] == "photo_01" and order[5] == "photo_04"  # without any mask; with little of one
    command = ["data", "preview", "folder", "--root", str(root), "--split", "all", "--count", "2"]
    assert main([*command, "--worst", "--output", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").is_file()
