"""The cache of rendered frames: the same numbers, whole files only, one version only."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.data import DataError, ProceduralStreets
from crosstask.data.streets.cache import FrameCache

OPTIONS: dict[str, Any] = {"size": (32, 64), "length": 4}


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a if isinstance(a[k], torch.Tensor))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


def test_a_cached_frame_equals_a_rendered_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("segmentation", "depth", "normals", "edges", "neighbours", "poses")
    plain = ProceduralStreets("train", asked, **OPTIONS)[2]
    data = ProceduralStreets("train", asked, cache=tmp_path, **OPTIONS)
    assert _same(plain, data[2]) and len(_files(tmp_path)) == 1
    monkeypatch.setattr(data, "renderer", None)  # from here on nothing can be rendered
    assert _same(plain, data[2]) and list(plain) == list(data[2])
    assert not list(tmp_path.rglob("*.part"))


def test_settings_do_not_share_frames(tmp_path: Path) -> None:
    first = ProceduralStreets("train", cache=tmp_path, **OPTIONS)[0]
    for other in ({"difficulty": "hard"}, {"seed": 3}, {"far": 20.0}, {"domain": "target"}):
        assert not _same(first, ProceduralStreets("train", cache=tmp_path, **OPTIONS, **other)[0])
    assert len(_files(tmp_path)) == 5


@pytest.mark.parametrize("damage", ["cut", "zero", "flip", "swap"])
def test_a_damaged_file_is_rendered_again(tmp_path: Path, damage: str) -> None:
    data = ProceduralStreets("val", cache=tmp_path, **OPTIONS)
    whole = data[1]
    (file,) = _files(tmp_path)
    content = file.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        file.write_bytes(content[:middle])
    elif damage == "zero":
        file.write_bytes(b"")
    elif damage == "flip":
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    else:
        file.write_bytes(b"not a frame at all")
    assert _same(whole, data[1])
    assert len(file.read_bytes()) == pytest.approx(len(content), abs=64)
    assert _same(whole, data[1])


def test_a_failed_write_leaves_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ProceduralStreets("val", cache=tmp_path, **OPTIONS)
    full = OSError(28, "No space left on device")

    def refuse(*_: Any, **__: Any) -> None:
        raise full

    monkeypatch.setattr("numpy.savez_compressed", refuse)
    with pytest.raises(OSError, match="there is no room for"):
        data[0]
    assert not _files(tmp_path) and not list(tmp_path.rglob("*.part"))


def test_another_version_is_refused(tmp_path: Path) -> None:
    ProceduralStreets("val", cache=tmp_path, **OPTIONS)
    (tmp_path / "cache.json").write_text(json.dumps({"procedural_version": "0"}))
    with pytest.raises(DataError, match=r"written by version 0 .* delete the folder"):
        ProceduralStreets("val", cache=tmp_path, **OPTIONS)
    (tmp_path / "cache.json").write_text("{")
    with pytest.raises(DataError, match="not a cache's description"):
        ProceduralStreets("val", cache=tmp_path, **OPTIONS)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(DataError, match="neither empty nor a cache"):
        FrameCache(tmp_path, "1", {"split": "val"})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_cache_filled_many_frames_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"size": (32, 64), "length": 5, "seed": 3}
    expected = [ProceduralStreets("val", **options)[index] for index in range(5)]
    data = ProceduralStreets("val", **options, cache=tmp_path)
    data[2]
    assert data.fill_cache(batch_size=3) == 4  # one was there
    assert data.fill_cache() == 0
    monkeypatch.setattr(data, "renderer", lambda *_: pytest.fail("rendered anew"))
    for index, sample in enumerate(expected):
        for name in ("image", "depth", "normals", "segmentation", "edges", "intrinsics"):
            assert torch.allclose(data[index][name], sample[name], atol=1e-6), name
    with pytest.raises(DataError, match="`cache` is None"):
        ProceduralStreets("val", **options).fill_cache()
