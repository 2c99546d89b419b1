"""The trained model of the package: small, described, camera-aware, and worth something without training."""

import json

import pytest
import torch

import crosstask
from crosstask.data import ProceduralStreets
from crosstask.engine.box import FOLDER
from crosstask.metrics import SegmentationMetric

MEGABYTES = 12


@pytest.fixture(scope="module")
def streets():
    return crosstask.load("streets")


def test_its_files() -> None:
    files = {path.name for path in (FOLDER / "streets").iterdir()}
    assert files == {"model.json", "model.safetensors", "README.md"}
    total = sum(path.stat().st_size for path in (FOLDER / "streets").iterdir())
    assert total <= MEGABYTES * 2**20
    described = json.loads((FOLDER / "streets" / "model.json").read_text())
    assert described["model"]["encoder_weights"]["licence"] == "Apache-2.0"
    card = (FOLDER / "streets" / "README.md").read_text()
    for heading in ("license: apache-2.0", "## Trained on", "## Worth", "## Fails"):
        assert heading in card


def test_it_sees_streets_that_it_never_saw(streets) -> None:
    """Easy scenes of the test split; a constant answer has 0.03."""
    scenes = ProceduralStreets("test", size=(160, 288), difficulty="easy", length=4)
    metric = SegmentationMetric(scenes.classes.names)
    errors, angles = [], []
    for scene in scenes:
        seen = streets.predict(scene["image"], scene["intrinsics"])
        assert seen.kinds == {"depth": "metric"}
        metric.update(seen["segmentation"][None], scene["segmentation"][None])
        known = scene["depth"] > 0
        errors.append(((seen["depth"] - scene["depth"]).abs() / scene["depth"])[known].mean())
        known = scene["normals"].norm(dim=0) > 0.5
        cosine = (seen["normals"] * scene["normals"]).sum(0)[known].clamp(-1, 1)
        angles.append(torch.rad2deg(torch.acos(cosine)).median())
    assert float(metric.compute()["miou"]) > 0.5
    assert float(torch.stack(errors).mean()) < 0.25
    assert float(torch.stack(angles).mean()) < 12


def test_without_a_camera_depth_is_up_to_scale(streets) -> None:
    seen = streets.predict(torch.rand(3, 96, 160))
    assert seen.kinds == {"depth": "up to scale"}


def test_training_starts_from_it(streets) -> None:
    from crosstask.recipes.procedural import randomized

    regime = randomized(pretrained=False, init_from="streets").regime
    theirs = streets.network.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in regime.network.state_dict().items())
