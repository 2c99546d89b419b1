"""The recipes of adaptation: two steps, resume, evaluate; and their class lists."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosstask import cli
from crosstask.data import CamVid, Cityscapes, ProceduralStreets, Synthia, VirtualKITTI2, labels
from crosstask.data.combine.class_map import MappedClasses
from crosstask.data.combine.pairs import DomainPairs
from crosstask.data.streets import STREET_CLASSES
from crosstask.recipes.adaptation import adaptation_optimizer
from crosstask.recipes.procedural_to_camvid import STREETS_TO_CAMVID
from fakes import camvid, cityscapes, synthia, vkitti2

TINY: dict[str, Any] = {
    "encoder": "resnet10t",
    "pretrained": False,
    "width": 0.0625,
    "discriminator_width": 4,
    "steps": 2,
    "batch_size": 2,
    "workers": 0,
}
COMMAND = [f"--{k.replace('_', '-')}={str(v).lower()}" for k, v in TINY.items()]
COMMAND.append("--precision=32")  # as evaluation computes


def call(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


def test_procedural_trains_resumes_and_evaluates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["--size=32x64", "--train-length=4", "--val-length=2", f"--cache={tmp_path / 'cache'}"]
    start = ["train", "procedural.adaptation", "--run", run, "--quiet", "--accelerator=cpu"]
    assert call(*start, *COMMAND, *small) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    for key in ("segmentation/miou", "depth/rmse", "depth/median_scaled/rmse", "normals/mean"):
        assert key in metrics
    assert any(key.startswith("segmentation/iou/") for key in metrics)
    env = json.loads((run / "env.json").read_text())
    assert env["data"]["train"]["target_labels"] == "not used in training"
    assert env["method"] == "both"
    assert json.loads((run / "model.json").read_text())["adaptation"] == "both"
    assert call(*start, *COMMAND, *small, "--resume") == 0
    capsys.readouterr()
    assert call("evaluate", run, "--json", "--device=cpu") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["score"] == pytest.approx(metrics["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("adversarial", "adversarial_start"),
        ("self_training", "pseudo_start"),
        ("both", "pseudo_start"),
    ],
)
def test_a_part_that_would_never_begin_is_refused(method: str, option: str) -> None:
    from crosstask.recipes.procedural import adaptation

    with pytest.raises(ValueError, match=f"`{option}` is 2 and training has 2 steps.*never begin"):
        adaptation(**{**TINY, "method": method, option: 2})
    adaptation(**{**TINY, "method": "source_only", option: 2})
    adaptation(**{**TINY, "method": method, option: 1})


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("synthia_to_cityscapes", "both"),
        ("vkitti2_to_cityscapes", "adversarial"),
        ("procedural_to_camvid", "self_training"),
    ],
)
def test_recipes_between_datasets_train_resume_and_evaluate(
    recipe: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = (camvid if recipe.endswith("camvid") else cityscapes).write(tmp_path / "target")
    options = [f"--root={target}", f"--method={method}", "--size=32x64"]
    if recipe.startswith("synthia"):
        options.append(f"--source-root={synthia.write(tmp_path / 'source')}")
    elif recipe.startswith("vkitti2"):
        options.append(f"--source-root={vkitti2.write(tmp_path / 'source')}")
    else:
        options.append("--train-length=3")
    run = tmp_path / "run"
    start = ["train", f"{recipe}.adaptation", "--run", run, "--quiet", "--accelerator=cpu"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has labels.*")  # they are not even opened
        assert call(*start, *COMMAND, *options) == 0
        assert call(*start, *COMMAND, *options, "--resume") == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 <= metrics["segmentation/miou"] <= 1
    assert metrics["trivial/segmentation/miou"] >= 0  # the majority class of the source
    second = "edges/f1" if recipe.endswith("camvid") else "depth/median_scaled/rmse"
    assert np.isfinite(metrics[second])
    capsys.readouterr()
    assert call("evaluate", run, "--json", "--device=cpu") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["score"] == pytest.approx(metrics["score"], abs=1e-6)


@pytest.mark.filterwarnings("ignore:skipped sample:RuntimeWarning")
def test_bad_target_images_are_skipped_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = camvid.write(tmp_path / "target")
    image = root / "train/0001TP_006690.png"
    image.write_bytes(image.read_bytes()[:100])
    start = ["train", "procedural_to_camvid.adaptation", f"--root={root}", "--method=source_only"]
    start += ["--size=32x64", "--train-length=4", "--quiet", "--accelerator=cpu", *COMMAND]
    start += ["--steps=4"]
    assert call(*start, "--run", tmp_path / "stops") == 2
    assert str(image) in capsys.readouterr().err
    assert call(*start, "--run", tmp_path / "run", "--skip-bad") == 0
    report = json.loads((tmp_path / "run" / "skipped.json").read_text())
    assert report == {"skipped": 1, "of": 8, "frames": ["0001TP_006690"]}


def test_a_missing_folder_is_named() -> None:
    from crosstask.recipes.synthia_to_cityscapes import adaptation

    with pytest.raises(ValueError, match=r"`source_root` is missing.*SYNTHIA, `--source-root DIR`"):
        adaptation(**{**TINY, "root": "x"}).train_data()


def test_both_real_pairs_speak_one_class_list(tmp_path: Path) -> None:
    target = cityscapes.write(tmp_path / "cityscapes")
    source = synthia.write(tmp_path / "synthia")
    pairs = DomainPairs(
        Synthia(source, "all", ("segmentation",)), Cityscapes(target, "train", (), classes=16)
    )
    assert pairs.classes is not None and len(pairs.classes) == 16
    with pytest.raises(ValueError, match="different class lists"):
        DomainPairs(Synthia(source, "all", ()), Cityscapes(target, "train", (), classes=19))
    drive = VirtualKITTI2(vkitti2.write(tmp_path / "vkitti2"), "all", (), classes=8)
    assert DomainPairs(drive, Cityscapes(target, "train", (), classes=8)).classes == labels.STREET_8


def test_each_domain_and_each_part_of_a_mixture_takes_its_range_of_values(tmp_path: Path) -> None:
    from crosstask.recipes import real3
    from crosstask.recipes.procedural_to_camvid import adaptation as to_camvid
    from crosstask.recipes.synthia_to_cityscapes import adaptation

    roots = {
        "root": str(cityscapes.write(tmp_path / "cityscapes")),
        "source_root": str(synthia.write(tmp_path / "synthia")),
    }
    ranges = {"value_range": "10..200", "source_value_range": "0..250"}
    pairs = adaptation(**{**TINY, **roots, **ranges}).train_data()
    assert [domain.value_range for domain in pairs.domains] == [(0, 250), (10, 200)]
    root = camvid.write(tmp_path / "camvid")
    photographs = to_camvid(**{**TINY, "root": str(root), "value_range": "10..200"}).val_data()
    assert photographs.value_range == (10, 200)
    mixed = real3.mixture(str(tmp_path), "train", ("segmentation",), None, value_range="10..200")
    assert [part.value_range for part in mixed.parts] == [(10, 200)]


def test_trucks_are_vehicles_in_virtual_kitti_and_void_in_cityscapes() -> None:
    vehicle = labels.STREET_8.names.index("vehicle")
    _, of_cityscapes = labels.CITYSCAPES_TABLES[8]
    ids = labels.CITYSCAPES_ID
    assert of_cityscapes[ids["car"]] == of_cityscapes[ids["bus"]] == vehicle
    assert ids["truck"] not in of_cityscapes and ids["train"] not in of_cityscapes
    _, of_vkitti = labels.VKITTI2_TABLES[8]
    assert of_vkitti["truck"] == of_vkitti["van"] == of_vkitti["car"] == vehicle
    assert "terrain" not in of_vkitti  # void, as Cityscapes' terrain is
    assert ids["terrain"] not in of_cityscapes


def test_streets_and_camvid_share_the_eleven_classes(tmp_path: Path) -> None:
    assert [n for n in STREET_CLASSES.names if n not in STREETS_TO_CAMVID] == ["terrain"]
    assert set(STREETS_TO_CAMVID.values()) == set(labels.CAMVID_11.names)
    streets = ProceduralStreets("train", ("segmentation", "edges"), (48, 64), length=1)
    mapped = MappedClasses(streets, labels.CAMVID_11, STREETS_TO_CAMVID)
    before, after = streets[0]["segmentation"], mapped[0]["segmentation"]
    road = (before == STREET_CLASSES.names.index("road")) | (
        before == STREET_CLASSES.names.index("lane_marking")
    )
    assert torch.equal(after == labels.CAMVID_11.names.index("road"), road)
    terrain = before == STREET_CLASSES.names.index("terrain")
    assert torch.equal(after == 255, terrain | (before == 255))
    DomainPairs(mapped, CamVid(camvid.write(tmp_path), "train", ()))  # one list: no error


def test_the_papers_optimiser() -> None:
    for architecture in ("densemtl", "single_task"):  # no SGD for the light heads here
        settings = adaptation_optimizer("paper", architecture)
        assert (settings.name, settings.lr, settings.encoder_lr) == ("adam", 2.5e-4, 1.5e-5)
        assert settings.betas == (0.9, 0.98) and settings.schedule == "constant"
    settings = adaptation_optimizer("paper", "densemtl", lr=5e-4)
    assert settings.encoder_lr == pytest.approx(3e-5)


def test_what_a_method_cannot_do_is_told() -> None:
    from crosstask.recipes.procedural import adaptation

    with pytest.raises(ValueError, match="`--method oracle` reads none"):
        adaptation(**{**TINY, "method": "oracle", "match_noise": True})
    with pytest.warns(UserWarning, match="labels count from the first step"):
        adaptation(**TINY)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*count from the first step")
        adaptation(**{**TINY, "pseudo_start": 1})
        adaptation(**{**TINY, "init_from": "streets"})
        adaptation(**{**TINY, "method": "adversarial"})
