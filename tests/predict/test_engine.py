"""Exported files in the place of weights."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from crosstask.cli import main
from crosstask.engine import rebuilding
from crosstask.media.images import StoredImage
from crosstask.models import create_model
from crosstask.predict import engine
from crosstask.predict.engine import ExportedModel, open_model
from crosstask.tasks import Depth
from crosstask.web.session import Studio
from fakes.scenes import scene_tasks

TASKS = (*scene_tasks(("segmentation",)), Depth(canonical_focal=100.0))
QUANTITIES = {
    "segmentation": {"outputs": ["segmentation", "segmentation_probability"]},
    "depth": {"outputs": ["depth"], "camera_aware": True},
}


class File:
    """What the runtime opens: depth is the focal length in hundreds of pixels."""

    place = "model.onnx"
    quantities = QUANTITIES

    def __init__(self, **facts: object) -> None:
        network = create_model(
            "multi_task", TASKS, encoder="resnet10t", pretrained=False, width=0.0625
        )
        description = rebuilding.describe(network, TASKS, size=[32, 64])
        self.facts = {"size": "dynamic", "focal": "input", "description": description} | facts

    def run(self, images: np.ndarray, focal: float | None) -> dict[str, np.ndarray]:
        number, height, width, _ = images.shape
        shape = (number, height, width)
        return {
            "segmentation": np.ones(shape, np.uint8),
            "segmentation_probability": np.ones(shape, np.float32),
            "depth": np.full((number, 1, height, width), (focal or 0) / 100, np.float32),
        }


def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **facts: object) -> ExportedModel:
    runtime = SimpleNamespace(load=lambda path: File(**facts))
    monkeypatch.setattr(engine, "load_runtime", lambda: runtime)
    found = open_model(tmp_path / "model.onnx")
    assert isinstance(found, ExportedModel)
    return found


def test_a_file_predicts_as_a_model_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, image = opened(monkeypatch, tmp_path), torch.rand(3, 40, 50)
    found = model.predict(image, fx=300.0)
    assert found.kinds == {"depth": "metric"} and bool((found["depth"] == 3).all())
    assert found["segmentation"].dtype == torch.int64 and found["segmentation"].shape == (40, 50)
    assert model.predict(image).kinds == {"depth": "up to scale"}
    scene = Studio(model).look(StoredImage(image, 1), fx=200.0)  # the web page
    assert bool((scene.prediction["depth"] == 2).all()) and not scene.attention.levels
    for options, words in (
        ({"flip": True}, "raw outputs"),
        ({"size": (64, 64)}, "another `--size`"),
    ):
        with pytest.raises(ValueError, match=words):
            model.predict(image, **options)
    with pytest.raises(ValueError, match="no windows"):
        model.use(torch.nn.Identity())
    with pytest.raises(ValueError, match="no raw outputs"):
        model(image[None])


def test_a_file_for_one_camera_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = torch.rand(3, 40, 50)
    one = opened(monkeypatch, tmp_path, focal=250.0, size=[64, 96])
    found = one.predict(image, size=(64, 96))
    assert found.kinds == {"depth": "metric"} and bool((found["depth"] == 2.5).all())
    quantity = {"outputs": ["depth_up_to_scale"], "camera_aware": True}
    monkeypatch.setattr(File, "quantities", {"depth": quantity})
    monkeypatch.setattr(File, "run", lambda *_: {"depth_up_to_scale": np.ones((1, 1, 40, 50))})
    none = opened(monkeypatch, tmp_path, focal="none").predict(image, fx=250.0)
    assert none.kinds == {"depth": "up to scale"} and "--focal none" in none.notes["depth"]


def test_a_field_of_view_and_exif_reach_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0xA405] = 43.2666  # the diagonal of film: so many pixels as the image's
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png", exif=exif)
    model = opened(monkeypatch, tmp_path)
    for options, focal, source in (
        ({}, 50.0, "EXIF (43.2666 mm on 35 mm film)"),
        ({"fov": 90.0}, 20.0, "a field of view of 90 degrees"),
    ):
        found = model.predict(tmp_path / "photo.png", **options)
        assert found.camera_source == source and found.kinds == {"depth": "metric"}
        assert float(found["depth"].mean()) == pytest.approx(focal / 100, rel=1e-4)
    one = opened(monkeypatch, tmp_path, focal=250.0).predict(tmp_path / "photo.png")
    assert "for one camera" in one.camera_source


def test_engines_that_do_not_fit_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="auto, onnx, torch"):
        open_model(tmp_path, "tensorrt")
    with pytest.raises(ValueError, match="no weights for torch"):
        open_model(tmp_path / "m.onnx", "torch")
    with pytest.raises(ValueError, match=r"crosstask export .* --format onnx"):
        open_model(tmp_path, "onnx")
    (tmp_path / "i.png").write_bytes(b"x")
    assert (
        main(
            [
                "predict",
                str(tmp_path / "m.onnx"),
                str(tmp_path / "i.png"),
                "--output",
                str(tmp_path),
            ]
        )
        == 2
    )
    assert "there is no file" in capsys.readouterr().err


def test_without_the_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crosstask_runtime", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        engine.load_runtime()
