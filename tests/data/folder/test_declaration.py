"""`folder.yaml` says how values are stored; options count before it, mistakes are named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.data import FolderDataset
from crosstask.data.folder.declaration import declared_options
from crosstask.data.sample import DataError
from crosstask.geometry.lens import ray_lengths
from crosstask.recipes.catalogue import find_recipe

SIZE = (16, 24)


def folder(root: Path, lens: str = "") -> Path:
    for name in ("images", "depth", "segmentation"):
        (root / name).mkdir()
    Image.fromarray(np.full((*SIZE, 3), 200, np.uint8)).save(root / "images" / "a.png")
    Image.fromarray(np.full(SIZE, 5120, np.uint16)).save(root / "depth" / "a.png")
    masks = np.zeros(SIZE, np.uint8)
    masks[:4] = 7
    Image.fromarray(masks).save(root / "segmentation" / "a.png")
    (root / "classes.txt").write_text("floor\nwall\n")
    (root / "intrinsics.json").write_text(
        '{"fx": 20, "fy": 20, "cx": 11.5, "cy": 7.5%s}' % lens  # noqa: UP031
    )
    return root


def test_the_file_gives_options_and_an_argument_counts_before_it(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "folder.yaml").write_text("depth_scale: 256\nvoid: 7\nvalue_range: 0..250\n")
    sample = FolderDataset(tmp_path, "all")[0]
    assert sample["depth"].unique().tolist() == [20.0]
    assert sample["segmentation"].unique().tolist() == [0, 255]
    assert torch.allclose(sample["image"], torch.tensor(0.8))
    with pytest.warns(UserWarning, match=r"says `depth_scale: 256.0`, and the option 512.0 counts"):
        assert FolderDataset(tmp_path, "all", depth_scale=512.0)[0]["depth"].max() == 10.0
    assert not FolderDataset(tmp_path, "all").unread()


def train_options(root: Path, **options: Any) -> dict[str, Any]:
    """What the recipe gives to the reader."""
    small = {"encoder": "test_resnet", "pretrained": False, "size": "32x64", "width": 0.0625}
    recipe = find_recipe("folder.supervised")
    data = recipe(root=str(root), tasks="depth", architecture=None, **small, **options).train_data()
    while not isinstance(data, FolderDataset):
        data = data.dataset
    return {"depth_scale": data.depth_scale, "kind": data.depth_kind, "input": data.channels}


@pytest.mark.filterwarnings("ignore:.*counts before it:UserWarning")
def test_an_option_of_the_command_counts_also_at_its_usual_value(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "folder.yaml").write_text("depth_scale: 256\ndepth_kind: ray\n")
    (root / "splits").mkdir()
    for split in ("train", "val"):
        (root / "splits" / f"{split}.txt").write_text("a\n")
    rgb = ("red", "green", "blue")
    assert train_options(root) == {"depth_scale": 256, "kind": "ray", "input": rgb}
    given = train_options(root, depth_scale=1000.0, depth_kind="z")
    assert given == {"depth_scale": 1000, "kind": "z", "input": rgb}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth_scal: 3", "depth_scale"),
        ("void: yes", "255"),
        ("- 1", "names"),
        ("depth_kind: x", "ray"),
        ("depth_scale: .inf", "folder.yaml"),
        ("depth_scale: -1", "above 0"),
        ("masks: " + "x" * 5000, "masks"),
        ("void: " + "9" * 5000, "not a sound YAML"),
        ("void: 255\n" * 10_000, "MB; expected at most"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    (folder(tmp_path) / "folder.yaml").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        FolderDataset(tmp_path, "all")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "usual", "given"),
    [("depth_scale", 1000.0, "1000"), ("void", 255, 25.5), ("undistort", True, "yes")],
)
def test_options_of_another_type_are_named(
    tmp_path: Path, name: str, usual: object, given: object
) -> None:
    """As an edited config.yaml gives them."""
    with pytest.raises(DataError, match=f"`{name}` is {given!r}; expected a value like {usual!r}"):
        declared_options(tmp_path, {name: usual}, {name: given})


def test_ray_distances_become_depth_along_the_axis(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "folder.yaml").write_text("depth_kind: ray\ndepth_scale: 512\nvoid: 7\n")
    data = FolderDataset(tmp_path, "all", ("depth",))
    sample = data[0]
    assert torch.allclose(
        sample["depth"] * ray_lengths(sample["intrinsics"], SIZE), torch.tensor(10.0)
    )
    assert "ray" in data.read_as()["depth"]
    (tmp_path / "intrinsics.json").unlink()
    with pytest.raises(DataError, match=r"needs a camera; add intrinsics\.txt"):
        FolderDataset(tmp_path, "all", ("depth",))[0]


def test_distortion_of_the_camera_file_is_applied_to_image_and_labels(tmp_path: Path) -> None:
    folder(tmp_path, ', "coeffs": [0.6, 0, 0, 0, 0]')
    (tmp_path / "folder.yaml").write_text("void: 7\ndepth_scale: 512\n")
    data = FolderDataset(tmp_path, "all", ("segmentation", "depth"))
    sample = data[0]
    assert sample["image"][:, 0, 0].max() == 0 and sample["image"][0, 8, 12] > 0.7
    assert sample["depth"][0, 0, 0] == 0 and sample["depth"][0, 8, 12] == 10
    assert sample["segmentation"][0, 0] == 255
    assert "are undistorted" in str(data.remark(data.frames[0], "intrinsics"))
    plain = FolderDataset(tmp_path, "all", ("depth",), undistort=False)
    assert (plain[0]["depth"] == 10).all()
    assert "not applied" in str(plain.remark(plain.frames[0], "intrinsics"))


def test_a_fisheye_is_named(tmp_path: Path) -> None:
    folder(tmp_path, ', "distortion_model": "equidistant", "D": [0.1, 0, 0, 0]')
    with pytest.raises(DataError, match=r"not supported.*undistort images"):
        FolderDataset(tmp_path, "all", ("depth",))[0]
