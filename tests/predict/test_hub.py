"""A model to the hub and back, against a server of the test's own."""

import json
from pathlib import Path

import pytest
import torch

from crosstask.engine.description import ModelFileError
from crosstask.predict.model import load
from fakes.hub import running_hub
from fakes.served import tiny_model


def test_a_model_goes_to_the_hub_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tiny_model("multi_task")
    with running_hub(monkeypatch, tmp_path) as hub:
        address = model.push_to_hub("lab/streets")
        assert address == f"{hub.url}/lab/streets" and hub.private["lab/streets"]
        assert sorted(hub.files["lab/streets"]) == ["README.md", "model.json", "model.safetensors"]
        card = hub.files["lab/streets"]["README.md"].decode()
        assert 'crosstask.load("hf://lab/streets")' in card
        back = load("hf://lab/streets")
        model.push_to_hub("lab/streets")  # again: a new version, no error
        with pytest.raises(ModelFileError, match="hf://lab/nothing cannot be downloaded"):
            load("hf://lab/nothing")
    image = torch.rand(3, 64, 128)
    for task in model.tasks:
        assert torch.equal(model.predict(image)[task.name], back.predict(image)[task.name])


def test_the_rest_of_a_run_stays_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running_hub(monkeypatch, tmp_path) as hub:
        tiny_model("multi_task").push_to_hub("lab/open", private=False, token=hub.token)
        assert not hub.private["lab/open"]
        told = json.loads(hub.files["lab/open"]["model.json"])
    assert str(tmp_path) not in json.dumps(told) and "token" not in json.dumps(told)


@pytest.mark.parametrize(
    ("name", "token", "words"),
    [
        ("streets", "hf_right", r"`name` is 'streets'; expected owner/model"),
        ("lab/streets", "hf_wrong", r"lab/streets cannot be pushed .*hf auth login"),
    ],
)
def test_what_the_hub_refuses_is_one_message(
    name: str, token: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_hub(monkeypatch, tmp_path) as hub:
        with pytest.raises(ValueError, match=words):
            tiny_model("multi_task").push_to_hub(name, token=token)
        assert not hub.files
