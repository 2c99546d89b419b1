"""`crosstask.train` and `crosstask.evaluate` in Python do what the commands do."""

import json
from pathlib import Path
from typing import Any

import pytest

import crosstask
from crosstask.cli import main
from crosstask.engine.runs import Run, RunError
from crosstask.recipes.resolving import resolve

RECIPE = "procedural.supervised"
OPTIONS: dict[str, Any] = {
    "tasks": "segmentation,depth",
    "encoder": "resnet10t",
    "pretrained": False,
    "width": 0.0625,
    "size": "32x64",
    "steps": 2,
    "batch_size": 2,
    "train_length": 2,
    "val_length": 2,
    "workers": 0,
}


def flags(options: dict[str, Any]) -> list[str]:
    return [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    path = tmp_path_factory.mktemp("running") / "run"
    quiet: dict[str, Any] = {"accelerator": "cpu", "precision": "32", "progress": False}
    return path, crosstask.train(RECIPE, run=path, **quiet, **OPTIONS)


def test_a_run_is_that_of_the_command(run: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    path, metrics = run
    assert metrics == Run(path).read_metrics()
    command = [
        "train",
        RECIPE,
        "--run",
        str(tmp_path),
        "--quiet",
        "--accelerator=cpu",
        "--precision=32",
    ]
    assert main([*command, *flags(OPTIONS)]) == 0
    assert Run(tmp_path).read_metrics() == metrics
    assert Run(tmp_path).read_config() == Run(path).read_config()


def test_scores_are_those_of_training_and_of_the_command(
    run: tuple[Path, dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, metrics = run
    found = crosstask.evaluate(path, device="cpu")
    assert found == pytest.approx(metrics, nan_ok=True)
    capsys.readouterr()
    assert main(["evaluate", str(path), "--device", "cpu", "--json", "--camera-height", "1.6"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in told.items() if k in found} == pytest.approx(found, nan_ok=True)
    again = crosstask.evaluate(path, device="cpu", camera_height=1.6)
    assert again == pytest.approx(told, nan_ok=True)


def test_an_experiment_of_ones_own(tmp_path: Path) -> None:
    function, options = resolve(RECIPE, {**OPTIONS, "steps": 1})

    def make() -> Any:
        return function(**options)

    metrics = crosstask.train(
        make(), run=tmp_path, accelerator="cpu", precision="32", progress=False
    )
    found = crosstask.evaluate(tmp_path, experiment=make(), device="cpu")
    assert found == pytest.approx(metrics, nan_ok=True)
    with pytest.raises(RunError, match="made in Python, not from a recipe"):
        crosstask.evaluate(tmp_path)
    with pytest.raises(ValueError, match="`steps`: options belong to a recipe's name"):
        crosstask.train(make(), run=tmp_path / "other", steps=2)


def test_wrong_options_are_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        crosstask.train(RECIPE, run=tmp_path, batchsize=2)
    with pytest.raises(ValueError, match=r"options of procedural\.supervised are wrong"):
        crosstask.train(RECIPE, run=tmp_path, steps="many")
    with pytest.raises(ValueError, match=r"procedural\.supervised"):
        crosstask.train("procedural.supervise", run=tmp_path)
    assert not any(tmp_path.iterdir())
