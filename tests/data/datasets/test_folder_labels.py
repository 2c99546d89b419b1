"""`data check` on folders as people have them: what was assumed is told, what is wrong is a defect."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.data import FolderDataset, transforms
from crosstask.data.sample import DataError
from crosstask.geometry import scale_intrinsics
from crosstask.media.colormap import VOID_COLOR

FRAMES = 6


def stored(root: Path, kind: str, array: np.ndarray, count: int = FRAMES) -> None:
    (root / kind).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(array).save(root / kind / f"{index}.png")


def images(root: Path) -> Path:
    grey = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)
    stored(root, "images", np.repeat(grey[..., None], 3, axis=-1))
    return root


def check(root: Path, capsys: Any, *options: str) -> dict[str, Any]:
    code = main(
        ["data", "check", "folder", "--root", str(root), "--json", "--split", "all", *options]
    )
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    return report["splits"]["all"]


def half(value: int) -> np.ndarray:
    array = np.zeros((16, 24), np.uint8)
    array[:8] = value
    return array


def test_binary_masks_are_two_classes_and_check_says_so(tmp_path: Path, capsys: Any) -> None:
    stored(images(tmp_path), "segmentation", half(255))
    (tmp_path / "classes.txt").write_text("background\ncrack\n")
    entry = check(tmp_path, capsys)
    assert entry["classes"] == {"background": 0.5, "crack": 0.5} and not entry["defects"]
    assert "binary" in entry["modalities"]["segmentation"]["read_as"]
    main(["data", "check", "folder", "--root", str(tmp_path), "--split", "all"])
    assert "read as binary masks" in capsys.readouterr().out


def test_zero_and_255_of_three_classes_is_a_defect(tmp_path: Path, capsys: Any) -> None:
    stored(images(tmp_path), "segmentation", half(255))
    (tmp_path / "classes.txt").write_text("floor\nwall\nbox\n")
    assert "3 classes are declared" in check(tmp_path, capsys)["defects"][0]


def test_one_class_is_refused_with_what_to_do(tmp_path: Path) -> None:
    stored(images(tmp_path), "segmentation", half(255))
    (tmp_path / "classes.txt").write_text("crack\n")
    with pytest.raises(DataError, match=r"one class, 'crack'.*background"):
        FolderDataset(tmp_path, "all")
    with pytest.raises(ValueError, match="70000 entries; expected 1 to 65534"):
        FolderDataset(tmp_path, "all", classes=70_000)


@pytest.mark.parametrize("top", [1, 255])
def test_share_of_positives_is_told_and_none_is_a_defect(
    tmp_path: Path, capsys: Any, top: int
) -> None:
    stored(images(tmp_path), "edges", half(top))
    stored(tmp_path, "saliency", half(0))
    entry = check(tmp_path, capsys)
    assert entry["modalities"]["edges"]["positive"] == 0.5
    assert ["saliency" in text for text in entry["defects"]] == [True]


def test_grey_between_is_named(tmp_path: Path, capsys: Any) -> None:
    soft = half(255)
    soft[0] = 77
    stored(images(tmp_path), "saliency", soft)
    notes = check(tmp_path, capsys)["notes"]
    assert any("6 files" in text and "77" in text for text in notes)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("masks/", "segmentation/"),
        ("Labels/", "segmentation/"),
        ("depths/", "depth/"),
        ("depth_maps/", "depth/"),
        ("normal/", "normals/"),
        ("saliancy/", "saliency/"),
        ("calib.txt", "intrinsics.txt"),
        ("labels.txt", "classes.txt"),
    ],
)
def test_what_is_not_read_is_named_with_what_it_looks_like(
    tmp_path: Path, capsys: Any, name: str, meant: str
) -> None:
    path = images(tmp_path) / name
    path.mkdir() if name.endswith("/") else path.write_text("x")
    defects = check(tmp_path, capsys)["defects"]
    assert len(defects) == 1 and path.name in defects[0] and f"was {meant} meant" in defects[0]


def test_other_files_are_a_note(tmp_path: Path, capsys: Any) -> None:
    (images(tmp_path) / "README.md").write_text("x")
    entry = check(tmp_path, capsys)
    assert not entry["defects"] and any("README.md" in text for text in entry["notes"])


# Depth and cameras ----------------------------------------------------------------------------------


def depths(root: Path, array: np.ndarray) -> None:
    (root / "depth").mkdir(parents=True, exist_ok=True)
    for index in range(FRAMES):
        np.save(root / "depth" / f"{index}.npy", array)


def test_smaller_depth_is_enlarged_and_told(tmp_path: Path, capsys: Any) -> None:
    depths(images(tmp_path), np.arange(1, 7, dtype=np.float32).reshape(2, 3))
    depth = FolderDataset(tmp_path, "all")[0]["depth"]
    assert depth.shape == (1, 16, 24) and (depth[0, :8, :8] == 1).all() and depth[0, 15, 23] == 6
    assert any("enlarged" in text for text in check(tmp_path, capsys)["notes"])
    depths(tmp_path, np.ones((2, 4), np.float32))
    with pytest.raises(DataError, match="must agree"):
        FolderDataset(tmp_path, "all")[0]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_normals_of_a_smaller_depth_are_those_of_its_planes(tmp_path: Path, factor: int) -> None:
    """A slanted plane: plateaus, one a stored pixel, would face the camera and jump at their borders."""
    size = (96, 128)
    Image.new("RGB", size[::-1]).save(tmp_path / "a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "images" / "a.png")
    matrix = torch.tensor([[100.0, 0, 63.5], [0, 100, 47.5], [0, 0, 1]])
    (tmp_path / "intrinsics.txt").write_text("100 100 63.5 47.5")
    small = scale_intrinsics(matrix, 1 / factor, 1 / factor)
    rows, columns = (torch.arange(side // factor, dtype=torch.float64) for side in size)
    across = (columns - small[0, 2]) / small[0, 0]
    down = (rows[:, None] - small[1, 2]) / small[1, 1]
    normal = torch.tensor([0.3, -0.5, -0.8], dtype=torch.float64)
    depth = 5 / -(normal[0] * across + normal[1] * down + normal[2])
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "a.npy", depth.numpy().astype(np.float32))
    inside = slice(factor, -factor)  # half a stored pixel from the border nothing lies beside it
    found = FolderDataset(tmp_path, "all")[0]["normals"].double()[:, inside, inside]
    known = found.norm(dim=0) > 0.5
    cosine = (found * (normal / normal.norm())[:, None, None]).sum(0)[known].clamp(-1, 1)
    assert known.double().mean() > 0.9 and cosine.acos().rad2deg().mean() < 1


def test_wrong_units_and_empty_files_are_defects(tmp_path: Path, capsys: Any) -> None:
    depths(images(tmp_path), np.full((16, 24), 1500.0, np.float32))  # millimetres as floats
    assert "beyond 80 m" in check(tmp_path, capsys)["defects"][0]
    assert not check(tmp_path, capsys, "--option", "far=2000")["defects"]
    np.save(tmp_path / "depth" / "3.npy", np.full((16, 24), np.nan, np.float32))
    defects = check(tmp_path, capsys, "--option", "far=2000")["defects"]
    assert len(defects) == 1 and "3.npy has no valid pixel" in defects[0]


def test_a_camera_file_of_ros_is_read_and_its_distortion_applied(
    tmp_path: Path, capsys: Any
) -> None:
    depths(images(tmp_path), np.ones((16, 24), np.float32))
    (tmp_path / "camera.yaml").write_text(
        "image_width: 48\nimage_height: 32\nK: [40, 0, 23.5, 0, 40, 15.5, 0, 0, 1]\nD: [0.1, 0]\n"
    )
    data = FolderDataset(tmp_path, "all")
    assert data[0]["intrinsics"].tolist() == [[20, 0, 11.5], [0, 20, 7.5], [0, 0, 1]]
    assert "normals" in data.modalities
    entry = check(tmp_path, capsys)
    assert not entry["defects"] and any("are undistorted" in text for text in entry["notes"])


def test_an_impossible_camera_is_one_defect_and_an_error(tmp_path: Path, capsys: Any) -> None:
    depths(images(tmp_path), np.ones((16, 24), np.float32))
    (tmp_path / "intrinsics.txt").write_text("0.58 1.92 0.5 0.5")
    defects = check(tmp_path, capsys)["defects"]
    assert len(defects) == 1 and "divided by the size" in defects[0]
    with pytest.raises(DataError, match="divided by the size"):
        FolderDataset(tmp_path, "all")[0]


def test_300_classes_are_read_trained_on_scored_and_written(tmp_path: Path, capsys: Any) -> None:
    from crosstask.tasks import Segmentation

    ids = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) % 300
    ids[:2] = 65535
    stored(images(tmp_path), "segmentation", ids)
    (tmp_path / "classes.txt").write_text("".join(f"class {i}\n" for i in range(300)))
    data = FolderDataset(tmp_path, "all", ("segmentation", "edges"))
    sample = data[0]
    labels = sample["segmentation"]
    assert labels.dtype == torch.int64 and (labels[:2] == 65535).all()
    assert (labels[2:].numpy() == ids[2:]).all()
    assert (labels == 255).any()  # a class like any other
    assert (sample["edges"][0, 3:] == 1).all()
    crop = transforms.training((32, 48))
    padded = FolderDataset(tmp_path, "all", ("segmentation",), crop)[0]["segmentation"]
    assert set(padded.unique().tolist()) <= {*range(300), 65535}

    task = Segmentation(data.classes)
    assert task.void == 65535 and Segmentation(254).void == 255
    logits = torch.zeros(1, 300, 16, 24)
    logits.scatter_(1, labels.clamp(max=299)[None, None], 30.0)
    assert float(task.loss(logits, labels[None])) < 1e-6
    metric = task.metric()
    metric.update(task.decode(logits), labels[None])
    assert float(metric.compute()["miou"]) == 1 and int(metric.confusion.sum()) == 14 * 24
    assert (task.colorize(labels)[:, 0, 0] == torch.tensor(VOID_COLOR)).all()
    (written,) = task.files(task.decode(logits)[0], "classes")
    assert written.array.dtype == np.uint16

    entry = check(tmp_path, capsys, "--modalities", "segmentation,edges")
    assert not entry["defects"] and entry["modalities"]["segmentation"]["void"] == 0.125
    assert entry["modalities"]["segmentation"]["range"] == [0, 299]
