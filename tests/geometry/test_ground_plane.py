"""A known height of the camera sets the scale of depth."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from crosstask.cli import main
from crosstask.evaluation.extras import HeightScaledDepth
from crosstask.geometry.ground_plane import ground_distance, rescale
from crosstask.models import create_model
from crosstask.predict.model import SceneModel
from crosstask.tasks import Depth
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth
from fakes.scenes import scene_tasks
from fakes.sequences import HEIGHT_ABOVE_FLOOR, Drives


def test_any_scale_becomes_the_true_one() -> None:
    data = Drives(3, size=(48, 80))
    batch = default_collate([data[i] for i in range(3)])
    wrong = batch["depth"] * torch.tensor([0.4, 1.0, 2.5]).view(3, 1, 1, 1)
    found, scaled = rescale(wrong, batch["intrinsics"], HEIGHT_ABOVE_FLOOR)
    torch.testing.assert_close(found, batch["depth"], rtol=2e-3, atol=0)
    assert bool(scaled.all())
    far_off, scaled = rescale(batch["depth"], batch["intrinsics"], 100 * HEIGHT_ABOVE_FLOOR)
    torch.testing.assert_close(far_off, batch["depth"])  # no ground gives such a factor
    assert not scaled.any()
    any_unit, scaled = rescale(
        batch["depth"] / 100, batch["intrinsics"], HEIGHT_ABOVE_FLOOR, most=None
    )
    torch.testing.assert_close(any_unit, batch["depth"], rtol=2e-3, atol=0)
    assert bool(scaled.all())
    with pytest.raises(ValueError, match="metres above the ground"):
        rescale(wrong, batch["intrinsics"], 0.0)


def model(depth: Depth | SelfSupervisedDepth) -> SceneModel:
    network = create_model("multi_task_matched", {"depth": 1}, "test_resnet", False, width=0.0625)
    return SceneModel(network, (depth,), {})


@pytest.mark.parametrize("depth", [Depth(), SelfSupervisedDepth()])
def test_predictions_at_a_known_height(depth: Depth | SelfSupervisedDepth) -> None:
    scene = model(depth)
    image = torch.rand(3, 40, 72)
    plain = scene.predict(image, fx=60.0)
    assert plain.depth_kind == "up to scale"
    assert plain.intrinsics is not None
    height = 1.5 * float(ground_distance(plain["depth"][None], plain.intrinsics.view(1, 3, 3)))
    scaled = scene.predict(image, fx=60.0, camera_height=height)
    assert scaled.depth_kind == "metric" and not scaled.notes
    torch.testing.assert_close(scaled["depth"], 1.5 * plain["depth"])
    (listed,) = scene.predict([image], fx=60.0, camera_height=height)
    torch.testing.assert_close(listed["depth"], scaled["depth"])


def test_where_no_ground_is_found_depth_stays_and_says_so() -> None:
    """Fifty times the height that it implies; learned from video, any unit is believed."""
    image = torch.rand(3, 40, 72)
    for depth, found in ((Depth(), False), (SelfSupervisedDepth(), True)):
        scene = model(depth)
        plain = scene.predict(image, fx=60.0)
        assert plain.intrinsics is not None
        implied = ground_distance(plain["depth"][None], plain.intrinsics.view(1, 3, 3))
        height = 50 * float(implied)
        high = scene.predict(image, fx=60.0, camera_height=height)
        told = high.notes.get("depth", "")
        assert (high.depth_kind == "metric") == found == ("no ground was found" not in told)
        torch.testing.assert_close(high["depth"], (50 if found else 1) * plain["depth"])


def test_the_ground_is_found_in_float32_under_autocast() -> None:
    camera = torch.tensor([[[60.0, 0, 36], [0, 60, 14], [0, 0, 1]]])
    rows = (torch.arange(48) - 14.0).clamp(min=1)
    depth = (1.5 * 60 / rows)[None, None, :, None].expand(1, 1, 48, 72)
    exact = ground_distance(depth, camera)
    with torch.autocast("cpu", torch.bfloat16):
        found = ground_distance(depth, camera)
    torch.testing.assert_close(found, exact)
    assert float(found) == pytest.approx(1.5, rel=1e-3)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match="needs the camera: give `fx`"):
        model(Depth()).predict(torch.rand(3, 40, 72), camera_height=1.3)
    segmentation = next(task for task in scene_tasks() if task.name == "segmentation")
    network = create_model(
        "multi_task_matched",
        {"segmentation": segmentation.channels},
        "test_resnet",
        False,
        width=0.0625,
    )
    with pytest.raises(ValueError, match="does not predict"):
        SceneModel(network, (segmentation,), {}).predict(
            torch.rand(3, 40, 72), fx=60.0, camera_height=1.3
        )


def test_what_stands_on_the_ground_does_not_count() -> None:
    """A wall of half the height of the camera, over a fifth of the area that is looked at."""
    camera = torch.tensor([[[60.0, 0, 36], [0, 60, 14], [0, 0, 1]]])
    rows = (torch.arange(48) + 0.5 - 14).clamp(min=1)
    depth = (1.6 * 60 / rows)[None, None, :, None].expand(1, 1, 48, 72).clone()
    assert float(ground_distance(depth, camera)) == pytest.approx(1.6, rel=0.03)
    depth[..., 30:44, 40:48] = 2.0
    assert float(ground_distance(depth, camera)) == pytest.approx(1.6, rel=0.05)


def test_the_height_that_a_network_believes_in() -> None:
    """Two level grounds, 1.5 and 2.5 m below the camera."""
    extra = HeightScaledDepth((Depth(),), 1.5)
    camera = torch.tensor([[60.0, 0, 36], [0, 60, 20], [0, 0, 1]])
    rows = (torch.arange(40) + 0.5 - 20).clamp(min=1)
    for height in (1.5, 2.5):
        depth = (height * 60 / rows)[None, None, :, None].expand(1, 1, 40, 72)
        batch = {"intrinsics": camera[None], "depth": depth * 1.5 / height}
        extra({"depth": depth}, {**batch, "image": torch.zeros(1, 3, 40, 72)})
    found = extra.compute()
    assert found["depth/ground/mean"] == pytest.approx(2.0, rel=0.02)
    assert found["depth/ground/std"] == pytest.approx(0.5, rel=0.02)
    assert found["depth/height_scaled/abs_rel"] < 0.02 and found["depth/ground/found"] == 1.0


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    tiny = ["--encoder", "resnet10t", "--no-pretrained", "--width", "0.0625", "--size", "32x64"]
    tiny += ["--steps", "1", "--train-length", "2", "--val-length", "2", "--workers", "0"]
    for tasks in ("segmentation,depth", "segmentation"):
        command = ["train", "procedural.supervised", "--run", run + tasks[-5:], "--tasks", tasks]
        assert main([*command, *tiny, "--architecture", "multi_task_matched", "--quiet"]) == 0
    capsys.readouterr()
    metrics: dict[str, float] = {}
    for _ in range(2):  # first which height the network implies, then half as much again
        height = str(1.5 * metrics.get("depth/ground/mean", 1.0))
        assert main(["evaluate", run + "depth", "--camera-height", height, "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out)
    assert metrics["depth/height_scaled/rmse"] > 0 and metrics["depth/ground/found"] == 1
    assert metrics["depth/height_scaled/rmse"] != metrics["depth/rmse"]
    assert metrics["depth/ground/mean"] > 0 and metrics["depth/ground/std"] >= 0
    for wrong in ("-1", "0", "nan", "inf", "high"):
        assert main(["evaluate", run + "depth", "--camera-height", wrong]) == 2
        assert "expected metres above 0" in capsys.readouterr().err
    assert main(["evaluate", run + "ation", "--camera-height", "1.6"]) == 2
    assert "needs the task depth" in capsys.readouterr().err
    image = tmp_path / "image.png"
    from PIL import Image

    Image.new("RGB", (96, 48), (90, 120, 90)).save(image)
    base = ["predict", run + "depth", str(image), "--output", str(tmp_path / "out")]
    assert main([*base, "--camera-height", "-1", "--fx", "80"]) == 2
    assert "expected metres above 0" in capsys.readouterr().err
    assert main([*base, "--camera-height", "1.6"]) == 2
    assert "needs the camera" in capsys.readouterr().err
    assert main([*base, "--camera-height", "1.6", "--fx", "80"]) == 0
    assert "depth metric" in capsys.readouterr().out
