"""Model directories: round trip, refusal of damaged, foreign and newer files."""

import json
from pathlib import Path

import pytest
import torch

from crosstask.engine import checkpoints
from crosstask.engine.checkpoints import ModelFileError
from crosstask.models import create_model
from crosstask.predict.model import SceneModel, load
from fakes.scenes import scene_tasks


@pytest.fixture(scope="module")
def model() -> SceneModel:
    tasks = scene_tasks()
    network = create_model("densemtl", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    return SceneModel(network, tasks, checkpoints.describe(network, tasks, size=[32, 64]))


def test_a_model_goes_round(model: SceneModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "m", metrics={"depth/rmse": 1.5})
    found = load(tmp_path / "m")
    image = torch.rand(1, 3, 40, 56)
    model.eval()
    with torch.no_grad():
        for task, outputs in model(image).items():
            assert torch.equal(outputs[-1], found(image)[task][-1])
    assert [t.name for t in found.tasks] == ["segmentation", "depth", "normals", "edges"]
    assert found.tasks == model.tasks
    card = (tmp_path / "m/README.md").read_text()
    assert "0 ground, 1 wall, 2 box" in card and "depth/rmse | 1.5000" in card
    again = found.save_pretrained(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (
        tmp_path / "m/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 99}, "newer crosstask"),
        ({"library": "other"}, "no crosstask model"),
        ({"tasks": [{"type": "Telepathy"}]}, "Telepathy"),
        ({"sha256": "0" * 64}, "do not belong together"),
        ({"model": {}}, "incomplete or damaged"),
    ],
)
def test_foreign_and_newer_descriptions(
    model: SceneModel, tmp_path: Path, change: dict, words: str
) -> None:
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=words):
        load(tmp_path)


def test_tampered_weights(model: SceneModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-8])
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path)
    file.write_bytes(content[:-8] + b"\x01" * 8)
    with pytest.raises(ModelFileError, match="do not belong together"):
        load(tmp_path)


def test_an_unknown_hub_id_says_what_to_do() -> None:
    with pytest.raises(ModelFileError, match="as a hub id it cannot be downloaded"):
        load("nobody/nothing-at-all")


def test_predictions_of_a_given_scene(model: SceneModel) -> None:
    found = model.predict(torch.rand(3, 37, 53))
    assert {k: tuple(v.shape) for k, v in found.values.items()} == {
        "segmentation": (37, 53), "depth": (1, 37, 53), "normals": (3, 37, 53), "edges": (1, 37, 53),
    }  # fmt: skip
    assert found.depth_kind == "up to scale"
    assert found.numpy()["depth"].dtype == "float32"
