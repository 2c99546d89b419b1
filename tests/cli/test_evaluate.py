"""What only `crosstask evaluate` does: windows, boundary scores, submissions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import fakes.cityscapes
from crosstask.cli import main
from crosstask.evaluation.sliding_window import SlidingWindow, starts
from crosstask.evaluation.submission import label_ids


class Identity(nn.Module):
    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        return {"depth": [image[:, :1]]}


def test_windows_cover_everything_and_leave_no_seam() -> None:
    image = torch.rand(2, 3, 100, 70)
    found = SlidingWindow(Identity(), (48, 32))(image)["depth"][0]
    assert torch.allclose(found, image[:, :1], atol=1e-6)
    assert starts(100, 48, 0.33) == [0, 26, 52]
    assert starts(30, 48, 0.33) == [0]
    with pytest.raises(ValueError, match="at least 32x32"):
        SlidingWindow(Identity(), (16, 64))


def test_label_ids_by_hand() -> None:
    assert label_ids(("road", "car", "bicycle")).tolist() == [7, 26, 33]
    with pytest.raises(ValueError, match="vehicle"):
        label_ids(("road", "vehicle"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    root = fakes.cityscapes.write(folder / "cityscapes")
    command = ["train", "cityscapes.supervised", "--root", str(root), "--run", str(folder / "run")]
    command += [
        "--encoder",
        "resnet10t",
        "--no-pretrained",
        "--width",
        "0.0625",
        "--size",
        "32x64",
        "--quiet",
    ]
    command += [
        "--tasks",
        "segmentation,depth,edges",
        "--classes",
        "19",
        "--steps",
        "1",
        "--workers",
        "0",
    ]
    assert main(command) == 0
    return folder / "run"


def test_full_size_boundaries_and_submission(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    command = [
        "evaluate",
        str(run),
        "--window",
        "32x64",
        "--boundaries",
        "0.0075",
        "--flip",
        "--json",
    ]
    assert main([*command, "--submission", str(tmp_path / "s")]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert 0 <= metrics["edges/ods_f"] <= metrics["edges/ois_f"] + 1e-6 <= 1 + 1e-6
    files = sorted((tmp_path / "s").iterdir())
    assert files
    ids = np.asarray(Image.open(files[0]))
    stored = next(run.parent.rglob("leftImg8bit/val/*/*.png"))
    assert ids.shape == Image.open(stored).size[::-1]
    assert set(np.unique(ids)) <= set(label_ids(("road", "sidewalk", "building", "wall", "fence", "pole",
        "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
        "bus", "train", "motorcycle", "bicycle")).tolist())  # fmt: skip


def test_submission_of_the_test_split(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its label files hold no class; the images are predicted all the same, at full size."""
    command = ["evaluate", str(run), "--split", "test", "--submission", str(tmp_path / "s")]
    assert main([*command, "--window", "32x64", "--flip"]) == 0
    (file,) = (tmp_path / "s").iterdir()
    assert file.name == "berlin_000000_000019_pred.png"
    assert np.asarray(Image.open(file)).shape == (64, 128)
    assert main(["evaluate", str(run), "--split", "tset"]) == 2
    assert "train, val, test" in capsys.readouterr().err


def test_streets_have_no_stored_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "train",
        "procedural.supervised",
        "--run",
        str(tmp_path / "r"),
        "--encoder",
        "resnet10t",
    ]
    command += [
        "--width",
        "0.0625",
        "--size",
        "32x64",
        "--steps",
        "1",
        "--train-length",
        "2",
        "--quiet",
    ]
    assert (
        main([*command, "--val-length", "1", "--workers", "0", "--tasks", "segmentation,depth"])
        == 0
    )
    assert main(["evaluate", str(tmp_path / "r"), "--window", "32x64"]) == 2
    assert "stored images" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "r"), "--boundaries", "0.01"]) == 2
    assert "needs the task edges" in capsys.readouterr().err
