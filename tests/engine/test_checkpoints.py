"""Model directories: round trip, refusal of damaged, foreign and newer files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.engine import checkpoints, rebuilding
from crosstask.engine.checkpoints import ModelFileError
from crosstask.models import create_model
from crosstask.predict.model import SceneModel, load
from fakes.scenes import scene_tasks


@pytest.fixture(scope="module")
def model() -> SceneModel:
    tasks = scene_tasks()
    network = create_model("densemtl", tasks, encoder="resnet10t", pretrained=False, width=0.0625)
    return SceneModel(network, tasks, rebuilding.describe(network, tasks, size=[32, 64]))


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
        ({"library": "other"}, "not a crosstask model"),
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
    with pytest.raises(ValueError, match=words) as error:
        load(tmp_path)
    assert str(tmp_path) in str(error.value)  # of many models, which one


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


@pytest.fixture(scope="module")
def checkpoint(model: SceneModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "a.ckpt"
    state = {f"network.{k}": v for k, v in model.network.state_dict().items()}
    text = json.dumps(model.description)
    torch.save({"state_dict": state, "model_description": text, "global_step": 3}, path)
    return path


def test_a_flipped_bit_of_a_checkpoint_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    assert checkpoints.step_of(checkpoint) == 3
    weights = checkpoints.read_checkpoint(checkpoint)["state_dict"]
    damaged = tmp_path / "damaged.ckpt"
    for number in range(40):
        changed = bytearray(content)
        changed[len(content) * number // 40 + number] ^= 1 << (number % 8)
        damaged.write_bytes(changed)
        try:
            found = checkpoints.read_checkpoint(damaged)["state_dict"]
        except ModelFileError:
            continue
        assert all(torch.equal(found[k], v) for k, v in weights.items()), number  # in a gap


def test_weights_that_are_not_finite_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    name = next(k for k in content["state_dict"] if k.endswith("weight"))
    content["state_dict"][name].view(-1)[0] = float("nan")
    torch.save(content, tmp_path / "nan.ckpt")
    with pytest.raises(ModelFileError, match=f"not finite.*{name.removeprefix('network.')}"):
        load(tmp_path / "nan.ckpt")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.ones(3),
        3.5,
        None,
        {1: 2},
        {"state_dict": [1]},
        {"state_dict": {"network.a": 3}},
        {"state_dict": {"network.a": torch.ones(1)}, "model_description": 7},
        {"state_dict": {"network.a": torch.ones(1)}, "model_description": "[" * 100_000},
        {"state_dict": {"a": torch.ones(1)}, "model_description": "{}"},
    ],
)
def test_checkpoints_of_odd_types(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(ModelFileError, match=r"odd\.ckpt|the checkpoint"):
        load(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("step", [None, -1, "3", True, 1.5])
def test_a_step_that_is_none(step: Any, tmp_path: Path) -> None:
    torch.save({"global_step": step}, tmp_path / "odd.ckpt")
    with pytest.raises(ModelFileError, match="expected a whole number"):
        checkpoints.step_of(tmp_path / "odd.ckpt")


def test_files_without_a_digest_load_with_a_note(
    model: SceneModel, checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match=r"old\.ckpt has no digest"):
        load(tmp_path / "old.ckpt")
    file = model.save_pretrained(tmp_path / "m") / "model.json"
    file.write_text(json.dumps({k: v for k, v in model.description.items() if k != "sha256"}))
    with pytest.warns(UserWarning, match="no digest"):
        load(tmp_path / "m")


def test_a_network_larger_than_its_weights_is_not_made(
    model: SceneModel, checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    wide = model.description | {"model": model.description["model"] | {"width": 16.0}}
    torch.save(content | {"model_description": json.dumps(wide)}, tmp_path / "wide.ckpt")
    with pytest.raises(ModelFileError, match="do not fit the described network"):
        load(tmp_path / "wide.ckpt")


def test_predictions_of_a_given_scene(model: SceneModel) -> None:
    found = model.predict(torch.rand(3, 37, 53))
    assert {k: tuple(v.shape) for k, v in found.values.items()} == {
        "segmentation": (37, 53), "depth": (1, 37, 53), "normals": (3, 37, 53), "edges": (1, 37, 53),
    }  # fmt: skip
    assert found.depth_kind == "up to scale"
    assert found.numpy()["depth"].dtype == "float32"
