"""A run directory becomes its experiment again, also one of an older version."""

import json
from pathlib import Path

import pytest
import timm
import torch

import crosstask
from crosstask.engine.runs import Run, RunError
from crosstask.engine.training import train
from crosstask.engine.warm_start import initialise_from, take_over_inputs
from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork
from crosstask.models.companions.pose import PoseNetwork
from crosstask.predict.model_card import model_card
from crosstask.recipes.reopen import open_run, reopen
from crosstask.recipes.resolving import resolve

CONFIG = {
    "recipe": "procedural.adaptation",
    "method": "source_only",
    "architecture": "single_task_matched",
    "tasks": "segmentation",
    "encoder": "resnet10t",
    "pretrained": False,
    "width": 0.0625,
    "size": "32x64",
    "steps": 2,
}


def test_a_withdrawn_option_may_stand_at_its_neutral_value(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_config({**CONFIG, "mixed_batches": False, "domain_norms": False})
    assert run.read_config() == CONFIG
    assert reopen(run).steps == 2


@pytest.mark.parametrize("option", ["mixed_batches", "domain_norms"])
def test_a_withdrawn_option_that_was_used_is_told(tmp_path: Path, option: str) -> None:
    run = Run(tmp_path)
    run.write_config({**CONFIG, option: True})
    with pytest.raises(RunError, match=f"trained with `{option}: True`, which this version"):
        reopen(run)


STREETS = {
    "architecture": "linear_probe",
    "encoder": "test_resnet",  # whose weights have mean and standard deviation 0.5
    "tasks": "segmentation",
    "size": "32x64",
    "batch_size": 2,
    "train_length": 2,
    "val_length": 1,
    "workers": 0,
}
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


def train_streets(run: Path, weights: Path, **options) -> None:
    name = "procedural.supervised"
    recipe, config = resolve(name, {**STREETS, "encoder_weights": str(weights), **options})
    resume = run.exists()
    train(recipe(**config), run, config={"recipe": name, **config}, resume=resume, progress=False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "encoder.pth")
    return tmp_path / "encoder.pth"


def test_a_run_keeps_the_normalisation_and_the_record_of_its_weights(
    tmp_path: Path, weights: Path
) -> None:
    run = tmp_path / "run"
    train_streets(run, weights, steps=1)
    kept = json.loads((run / "model.json").read_text())
    assert kept["model"]["normalization"] == HALF
    weights.unlink()  # the run has them now
    network = open_run(run).regime.network
    assert network.encoder.mean.flatten().tolist() == [0.5] * 3
    assert network.spec["encoder_weights"]["source"] == str(weights)
    assert f"{weights}; licence: not declared" in model_card(kept)
    recipe, config = resolve("procedural.supervised", {**STREETS, "pretrained": False})
    regime = recipe(**config).regime
    assert regime.network.spec["normalization"] == "imagenet"
    initialise_from(regime, run)
    assert regime.network.spec["normalization"] == HALF, "what belongs to the weights comes along"


def test_a_run_that_goes_on_needs_no_pretrained_weights(tmp_path: Path, weights: Path) -> None:
    options = {**STREETS, "steps": 1, "encoder_weights": str(weights)}
    crosstask.train("procedural.supervised", tmp_path / "run", progress=False, **options)
    before = json.loads((tmp_path / "run/model.json").read_text())["model"]
    weights.unlink()
    again = {"resume": True, "progress": False, **options, "steps": 2}
    crosstask.train("procedural.supervised", tmp_path / "run", **again)
    assert json.loads((tmp_path / "run/model.json").read_text())["model"] == before
    with pytest.raises(ValueError, match="existing file"):
        crosstask.train("procedural.supervised", tmp_path / "new", **again)


@pytest.mark.parametrize("kind", [PoseNetwork, CorrelationPoseNetwork])
def test_the_pose_network_keeps_the_normalisation_of_its_weights(
    weights: Path, kind: type[PoseNetwork]
) -> None:
    trained = kind("test_resnet", weights=str(weights))
    assert trained.spec["normalization"] == HALF
    fresh = kind("test_resnet", pretrained=False)
    companions = {"pose_network": fresh}
    take_over_inputs(
        torch.nn.ModuleDict(companions), companions, {"model": {}, "pose_network": trained.spec}
    )
    assert fresh.spec == trained.spec
    assert torch.equal(fresh.mean, trained.mean) and torch.equal(fresh.deviation, trained.deviation)


def test_a_run_of_before_goes_on_with_the_normalisation_that_it_began_with(
    tmp_path: Path, weights: Path
) -> None:
    run = tmp_path / "run"
    train_streets(run, weights, steps=1)
    old = json.loads((run / "model.json").read_text())
    old["model"]["normalization"] = "imagenet"  # the default of earlier versions
    del old["model"]["encoder_weights"]
    (run / "model.json").write_text(json.dumps(old))
    train_streets(run, weights, steps=1)
    assert json.loads((run / "model.json").read_text())["model"]["normalization"] == "imagenet"
