"""Models that come with the package: found by name, after paths, and small on disk."""

import pytest
import torch

import crosstask
from crosstask.cli.main import main
from crosstask.engine import box, rebuilding
from crosstask.engine.checkpoints import ModelFileError
from crosstask.models import create_model
from crosstask.predict.inputs import names_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth


@pytest.fixture
def boxed(tmp_path, monkeypatch):
    """A package whose box holds one model, `streets`."""
    torch.manual_seed(0)
    network = create_model("multi_task", {"depth": 1}, "test_resnet", False, width=0.0625)
    network(torch.rand(4, 3, 32, 32))  # norm statistics of their own
    described = rebuilding.describe(network, (Depth(canonical_focal=60.0),), size=[32, 64])
    model = SceneModel(network.eval(), (Depth(canonical_focal=60.0),), described)
    monkeypatch.setattr(box, "FOLDER", tmp_path / "zoo")
    model.save_pretrained(tmp_path / "zoo" / "streets", half=True)
    return model


def test_half_keeps_statistics_and_is_half_the_size(boxed, tmp_path):
    whole = boxed.save_pretrained(tmp_path / "whole") / "model.safetensors"
    half = tmp_path / "zoo" / "streets" / "model.safetensors"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = crosstask.load("streets").network
    for (name, a), b in zip(boxed.network.named_buffers(), loaded.buffers(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(boxed.network.parameters(), loaded.parameters(), strict=True):
        assert b.dtype == torch.float32 and torch.equal(a.detach().half().float(), b)


def test_a_parameter_that_float16_cannot_hold_is_refused(boxed, tmp_path):
    with torch.no_grad():
        next(boxed.network.parameters()).fill_(1e6)
    with pytest.raises(ValueError, match="too large for float16"):
        boxed.save_pretrained(tmp_path / "m", half=True)


def test_a_path_comes_before_a_model_of_that_name(boxed, tmp_path, monkeypatch):
    assert box.boxed_models() == ["streets"]
    assert box.boxed_model("street") is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streets").mkdir()
    with pytest.raises(ModelFileError, match="holds no model"):
        crosstask.load("streets")


def test_predict_without_a_model_says_which_it_uses(boxed, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (80, 40), (90, 120, 80)).save("photo.jpg")
    assert main(["predict", "photo.jpg", "--fx", "70", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "model: streets, which comes with crosstask" in said.err
    assert (tmp_path / "predictions" / "photo_depth.npy").is_file()
    for words in (["streets", "photo.jpg"], ["photo.jpg", "--model", "streets"]):
        assert main(["predict", *words, "--output", "named", "--resume", "--device", "cpu"]) == 0
        assert "model:" not in capsys.readouterr().err
    assert main(["predict", "streets"]) == 2
    assert "give the images to predict behind it" in capsys.readouterr().err


def test_what_means_a_model(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    for word in ("hf://a/b", "streets", str(tmp_path / "run"), "last.ckpt", "runs/mistyped"):
        assert names_model(word), word
    for word in ("a.jpg", "nowhere.PNG", "film.mp4", "-", "frames/*", str(tmp_path / "photos")):
        assert not names_model(word), word
