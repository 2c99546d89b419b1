"""Weights & Biases and MLflow: what they are told, resumed runs, refusals. Stand-ins with the same calls."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosstask.engine import trackers
from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.regimes.regime import Regime
from fakes.trackers import Told, stand_in_mlflow, stand_in_wandb

Make = Callable[..., Experiment]
CONFIG = {"recipe": "test", "steps": 6, "lr": 0.1}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Told]:
    monkeypatch.setenv("WANDB_API_KEY", "x")
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return {"wandb": stand_in_wandb(monkeypatch), "mlflow": stand_in_mlflow(monkeypatch)}


def test_losses_scores_options_and_the_panel_arrive(
    experiment: Make, told: dict[str, Told], tmp_path: Path
) -> None:
    run = tmp_path / "first"
    metrics = train(experiment(), run, config=CONFIG, trackers=("wandb", "mlflow"), progress=False)
    for name, one in told.items():
        assert one.begun[0].startswith("first ") and len(one.begun) == 1
        assert str(one.config["lr"]) == "0.1" and one.config["recipe"] == "test"
        assert len(one.steps("val/score")) == 3  # validations
        assert (6, "final/segmentation/miou", metrics["segmentation/miou"]) in one.values
        assert [image.endswith("first/panel.png") for image in one.images] == [True]
        assert one.ended[-1] == {"wandb": 0, "mlflow": "FINISHED"}[name]
    ids = json.loads((run / "trackers.json").read_text())
    assert told["wandb"].begun == [f"first {ids['wandb']}"] and ids["mlflow"] == "r0"


def test_a_resumed_training_goes_on_in_the_same_run(
    experiment: Make, told: dict[str, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Regime.on_train_batch_start

    def stop(self: Regime, batch: Any, batch_idx: int) -> None:
        if self.global_step == 4:
            raise InterruptedError
        start(self, batch, batch_idx)

    options: Any = {"config": CONFIG, "trackers": ("wandb", "mlflow"), "progress": False}
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(Regime, "on_train_batch_start", stop)
        train(experiment(), tmp_path / "cut", **options)
    assert told["wandb"].ended == [1] and told["mlflow"].ended[-1] == "FAILED"
    train(experiment(), tmp_path / "cut", resume=True, **options)
    first, second = told["wandb"].begun
    assert first == second
    assert told["mlflow"].begun == ["cut r0"]
    assert told["wandb"].ended == [1, 0] and told["mlflow"].ended[-1] == "FINISHED"


def test_what_a_tracker_refuses_is_one_message(
    experiment: Make, told: dict[str, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    with pytest.raises(ValueError, match=r"tracker wandb refuses .*api_key not configured"):
        train(experiment(), tmp_path / "a", trackers=("wandb",), progress=False)
    place = tmp_path / "b"
    place.mkdir()
    (place / "trackers.json").write_text('{"mlflow": "gone"}')
    with (
        pytest.raises(
            ValueError,
            match=r"tracker mlflow refuses .*'gone' not found.*trackers.json names the run gone",
        ),
        trackers.Trackers(("mlflow",), place) as tracked,
    ):
        tracked.open({})


def test_nothing_is_written_for_a_tracker_that_is_not_there(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "wandb" else real(n))
    with pytest.raises(ModuleNotFoundError, match=r'pip install "crosstask\[wandb\]"'):
        train(experiment(), tmp_path / "run", trackers=("wandb",), progress=False)
    with pytest.raises(ValueError, match="names 'comet'; expected wandb or mlflow"):
        train(experiment(), tmp_path / "run", trackers=("comet",), progress=False)
    assert not (tmp_path / "run").exists()
