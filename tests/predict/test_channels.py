"""A model of colours and depth: evaluated, predicted, and refused what it cannot use."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import crosstask
from crosstask.cli import main
from crosstask.data import FolderDataset
from crosstask.engine.runs import read_json
from crosstask.web.session import Studio
from fakes import untrained
from fakes.folder import write
from fakes.png import write_png

CHANNELS = "red,green,blue,depth=0..20"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("rgbd"), 4, 2)
    for index, image in enumerate(sorted((folder / "images").iterdir())):
        depth = np.full((48, 64), 2000 + 1500 * index, np.uint16)
        depth[:, :32] = 9000
        write_png(folder / "depth_input" / f"{image.stem}.png", depth)
    return folder


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "run"
    options = {"tasks": "segmentation,depth", "channels": CHANNELS}
    return untrained.write(place, root, **options)


def test_model_json_names_the_channels(run: Path) -> None:
    told = read_json(run / "model.json")
    assert told["model"]["in_channels"] == 4
    assert told["feeding"]["channels"] == ["red", "green", "blue", "depth"]
    assert told["feeding"]["ranges"] == {"depth": [0.0, 20.0]}
    assert len(told["model"]["normalization"]["mean"]) == 4


def test_evaluate_and_predict_agree(run: Path, root: Path, tmp_path: Path) -> None:
    scores = crosstask.evaluate(run)
    model = crosstask.load(run)
    data = FolderDataset(root, "val", ("segmentation",))
    metric = model.tasks[0].metric()
    for index, frame in enumerate(data.frames):
        depth = root / "depth_input" / f"{frame.name}.png"
        found = model.predict(frame.files["image"], channels={"depth": depth})
        assert found.image.shape == (3, 48, 64)
        metric.update(found["segmentation"][None], data[index]["segmentation"][None])
    found_miou = float(metric.compute()["miou"])
    assert found_miou == pytest.approx(scores["segmentation/miou"], abs=1e-3)
    command = ["predict", str(run), str(root / "images"), "--output", str(tmp_path)]
    assert main([*command, "--channel", f"depth={root / 'depth_input'}"]) == 0
    assert len(list(tmp_path.glob("photo_*_panel.png"))) == 6


def test_what_is_missing_is_told(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(root / "images" / "photo_00.jpg")
    assert main(["predict", str(run), image, "--output", str(tmp_path)]) == 2
    assert "has no depth, which is a channel" in capsys.readouterr().err
    command = ["predict", str(run), image, "--output", str(tmp_path / "b"), "--channel"]
    assert main([*command, "heat=" + image]) == 2
    assert "'heat', which this model does not read" in capsys.readouterr().err
    assert main([*command, "depth"]) == 2
    model = crosstask.load(run)
    with pytest.raises(
        ValueError, match="has 3 channels; this model takes 4: red, green, blue, depth"
    ):
        model.predict(torch.rand(3, 48, 64))
    assert model.predict(torch.rand(4, 48, 64))["depth"].shape == (1, 48, 64)
    with pytest.raises(ValueError, match="three channels only"):
        Studio(model)


def test_a_colour_model_refuses_more_channels(root: Path, tmp_path: Path) -> None:
    model = crosstask.load(untrained.write(tmp_path / "run", root, tasks="segmentation,depth"))
    assert json.dumps(model.description["feeding"]["channels"]) == '["red", "green", "blue"]'
    with pytest.raises(ValueError, match="has 4 channels; this model takes 3"):
        model.predict(torch.rand(4, 48, 64))
    with pytest.raises(ValueError, match="`channels` has 'depth'"):
        model.predict(torch.rand(3, 48, 64), channels={"depth": root})
