"""Self-supervised recipes train two steps, resume and evaluate from the command line; study table5."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torchvision.io import write_png

import fakes.cityscapes
from crosstask.cli import main
from crosstask.experiments.studies.catalogue import find_study
from crosstask.experiments.studies.study import Setting
from crosstask.models.encoders.weights import MissingWeightsError
from crosstask.recipes.catalogue import find_recipe
from crosstask.recipes.frames import parse_camera
from crosstask.regimes.self_supervised.regime import SelfSupervised
from crosstask.regimes.supervised import Supervised
from fakes.sequences import Drives

TINY = ["--encoder", "test_resnet", "--pose-encoder", "test_resnet", "--no-pretrained"]
TINY += ["--width", "0.0625"]
LOOP = ["--steps", "2", "--batch-size", "2", "--val-every", "1", "--workers", "0", "--quiet"]


def write_drive(folder: Path, count: int = 12) -> Path:
    """A short drive as PNG files; every frame is the middle one of another sample."""
    folder.mkdir()
    data = Drives(1, size=(40, 72), offsets=tuple(range(1, count + 1)))
    for i, frame in enumerate(data[0]["neighbours"]):
        write_png((frame * 255).byte(), str(folder / f"{i:04d}.png"))
    (folder / "intrinsics.txt").write_text("64.8 64.8 35 20.5")
    return folder


def procedural(_: Path) -> list[str]:
    return [
        "--size",
        "32x64",
        "--train-length",
        "4",
        "--val-length",
        "2",
        "--tasks",
        "segmentation,depth",
        "--refine-from",
        "1",
    ]


def cityscapes(folder: Path) -> list[str]:
    root = fakes.cityscapes.write(folder / "cityscapes")
    return ["--root", str(root), "--size", "64x128", "--crop", "32x64", "--camera-height", "1.22"]


def frames(folder: Path) -> list[str]:
    return ["--root", str(write_drive(folder / "drive")), "--size", "32x64", "--validation", "0.3"]


CASES: dict[str, Callable[[Path], list[str]]] = {
    "procedural.self_supervised": procedural,
    "cityscapes.self_supervised": cityscapes,
    "frames.self_supervised": frames,
}


@pytest.mark.parametrize("name", CASES)
def test_train_resume_evaluate(name: str, tmp_path: Path, round_trip: Any) -> None:
    run = tmp_path / "run"
    metrics = round_trip([name, *TINY, *CASES[name](tmp_path)], run)
    assert metrics["photometric/warped"] > 0 and math.isfinite(metrics["score"])
    assert (run / "photometric.png").stat().st_size > 1000
    assert ("pose/rotation" in metrics) == (name == "procedural.self_supervised")
    assert ("pose/network/rotation" in metrics) == (name == "procedural.self_supervised")
    # the penalty of the camera's height makes depth metric; both scores are then named
    assert ("depth/abs_rel" in metrics) == (name == "cityscapes.self_supervised")
    assert "trivial/depth/median_scaled/abs_rel" in metrics
    if name == "frames.self_supervised":
        pytest.importorskip("av")
        assert (run / "depth.mp4").stat().st_size > 500


def test_a_fresh_interpreter_loads_a_model_of_self_supervised_depth(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", "procedural.self_supervised", "--run", str(run), *TINY, *LOOP]
    assert main([*command, *procedural(tmp_path)]) == 0
    code = f"import crosstask; print([t.name for t in crosstask.load({str(run)!r}).tasks])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['segmentation', 'depth']"


@pytest.mark.filterwarnings("ignore:skipped sample:RuntimeWarning")
def test_bad_samples_are_skipped_on_demand(tmp_path: Path) -> None:
    options = cityscapes(tmp_path)
    image = sorted((tmp_path / "cityscapes").glob("leftImg8bit/train/*/*.png"))[0]
    image.write_bytes(image.read_bytes()[:300])
    command = ["train", "cityscapes.self_supervised", *TINY, *LOOP, *options]
    assert main([*command, "--run", str(tmp_path / "stops")]) == 2
    assert main([*command, "--run", str(tmp_path / "run"), "--skip-bad"]) == 0
    report = json.loads((tmp_path / "run" / "skipped.json").read_text())
    assert report["skipped"] == 1 and image.name.startswith(report["frames"][0][:20])


def test_frames_teach_depth_alone(tmp_path: Path) -> None:
    recipe = find_recipe("frames.self_supervised")
    with pytest.raises(ValueError, match="segmentation, for which frames have no labels"):
        recipe(root=str(tmp_path), tasks="segmentation,depth")
    with pytest.raises(ValueError, match="`tasks` is empty; expected some of depth"):
        recipe(root=str(tmp_path), tasks="")


def test_frames_default_to_the_plain_mean_and_the_others_to_the_minimum(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "encoder": "test_resnet",
        "pose_encoder": "test_resnet",
        "pretrained": False,
    }
    root = str(write_drive(tmp_path / "drive"))
    own = find_recipe("frames.self_supervised")(root=root, **small).regime.supervision
    assert (own.rule, own.auto_mask) == ("mean", False)
    streets = find_recipe("procedural.self_supervised")(**small).regime.supervision
    assert (streets.rule, streets.auto_mask) == ("minimum", True)


def test_the_pose_network_may_begin_from_other_weights_than_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The streets' pose network begins at random also where the encoder has its weights; a file is loaded."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe = find_recipe("procedural.self_supervised")
    file = tmp_path / "test_resnet.pth"
    backbone = timm.create_model("test_resnet", pretrained=False)
    with torch.no_grad():
        backbone.conv1[0].weight.fill_(0.25)
    torch.save(backbone.state_dict(), file)

    def first_weight(network: torch.nn.Module) -> torch.Tensor:
        return next(w for w in network.parameters() if w.shape == backbone.conv1[0].weight.shape)

    given = {"encoder_weights": str(file)}
    regime = recipe(**given).regime
    assert bool((first_weight(regime.network.encoder) == 0.25).all())
    assert not bool((first_weight(regime.pose_network) == 0.25).any())
    regime = recipe(**given, pose_encoder_weights=str(file)).regime
    assert bool((first_weight(regime.pose_network) == 0.25).all())
    with pytest.raises(MissingWeightsError, match="no pretrained weights of 'test_resnet'"):
        recipe(pose_encoder_weights="auto")


def test_phases_of_cityscapes_set_what_is_not_given(tmp_path: Path) -> None:
    recipe = find_recipe("cityscapes.self_supervised")
    small: dict[str, Any] = {
        "encoder": "test_resnet",
        "pose_encoder": "test_resnet",
        "pretrained": False,
    }
    small |= {"root": str(tmp_path), "width": 0.0625}
    first = recipe(phase="depth", **small)
    assert first.steps == 300_000 and first.batch_size == 4 and len(first.tasks) == 1
    assert not any(p.requires_grad for p in first.regime.network.encoder.parameters())
    second = recipe(phase="depth_unfrozen", feature_distance=0.5, **small)
    assert second.regime.supervision.feature_distance == 0.5
    joint = recipe(classes=19, pose_lr=2e-6, **small)
    rates = {name: rate for name, _, rate in joint.regime.parts()}
    assert rates == {"encoder": 1e-5, "tasks": 5e-5, "pose": 2e-6}
    assert joint.steps == 40_000 and joint.tasks[0].channels == 19
    with pytest.raises((ValueError, TypeError), match="phase"):  # the type check may come first
        recipe(phase="third", **small)


def test_table5_compares_segmentation_alone_with_the_help_of_depth() -> None:
    runs = find_study("table5")(Setting(seeds=(0,)))
    assert find_study("table5").recipe("cityscapes") == "cityscapes.self_supervised"
    assert [(r.row, r.options["tasks"]) for r in runs] == [
        ("segmentation", "segmentation"),
        ("multi_task_matched", "segmentation,depth"),
        ("compute_matched", "segmentation,depth"),
        ("threeways_padnet", "segmentation,depth"),
        ("densemtl", "segmentation,depth"),
    ]
    small: dict[str, Any] = {
        "encoder": "test_resnet",
        "pose_encoder": "test_resnet",
        "pretrained": False,
    }
    regimes = [find_recipe(r.recipe)(**r.options, **small, width=0.0625).regime for r in runs]
    assert type(regimes[0]) is Supervised
    assert all(isinstance(regime, SelfSupervised) for regime in regimes[1:])


def test_intrinsics_on_the_command_line() -> None:
    assert parse_camera("60,61.5,32,20") == (60.0, 61.5, 32.0, 20.0)
    assert parse_camera("camera.txt") == "camera.txt" and parse_camera(None) is None
    with pytest.raises(ValueError, match="fx,fy,cx,cy"):
        parse_camera("60,61,x,20")
