"""Weights taken over from another run."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.engine.warm_start import initialise_from

Make = Callable[..., Experiment]
CONFIG = {"recipe": "test", "steps": 6}


def test_taking_over_weights_reports_what_does_not_fit(experiment: Make, tmp_path: Path) -> None:
    train(experiment(steps=1), tmp_path / "a", config=CONFIG, progress=False)
    with pytest.warns(UserWarning, match="normals"):
        made = experiment(
            tasks=("segmentation", "depth", "normals"), init_from=str(tmp_path / "a"), steps=1
        )
    checkpoint = tmp_path / "a/checkpoints/last.ckpt"
    source = torch.load(checkpoint, weights_only=True)["state_dict"]
    name = "network.encoder." + next(
        k[len("network.encoder.") :]
        for k in source
        if k.startswith("network.encoder.") and k.endswith("weight")
    )
    assert torch.equal(made.regime.state_dict()[name], source[name])


def test_of_another_architecture_the_encoder_alone_is_taken_over_and_told(
    experiment: Make, tmp_path: Path
) -> None:
    options = {"steps": 1, "architecture": "densemtl"}
    train(experiment(**options), tmp_path / "r", config={**CONFIG, "steps": 1}, progress=False)
    regime = experiment(architecture="multi_task").regime
    fitting, own = (len(m.state_dict()) for m in (regime.network.encoder, regime.network))
    biases = 2  # of the two predictions
    told = f"encoder only: {fitting + biases} of {own} tensors taken over"
    with pytest.warns(UserWarning, match=told):
        initialise_from(regime, tmp_path / "r")
    same = experiment(architecture="densemtl").regime
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert initialise_from(same, tmp_path / "r") == []


def test_the_options_that_give_the_same_network_are_told(experiment: Make, tmp_path: Path) -> None:
    """Decoders of half the width fit nowhere; the warning says what to ask for."""
    trained = experiment(steps=1, architecture="densemtl", options={"fusion": "concat"})
    train(trained, tmp_path / "r", config={**CONFIG, "steps": 1}, progress=False)
    other = experiment(architecture="densemtl", width=0.125).regime
    told = r"its network is that of --width 0\.0625 --options\.fusion concat$"
    with pytest.warns(UserWarning, match=told):
        initialise_from(other, tmp_path / "r")


def test_tensors_of_tasks_that_are_not_trained_here_are_counted_apart(
    experiment: Make, tmp_path: Path
) -> None:
    tasks = ("segmentation", "depth", "normals")
    train(
        experiment(steps=1, tasks=tasks, architecture="multi_task"),
        tmp_path / "a",
        config=CONFIG,
        progress=False,
    )
    told = r"(\d+) of \1 tensors taken over; \d+ of its tensors have no place here$"
    with pytest.warns(UserWarning, match=told):
        initialise_from(experiment(architecture="multi_task").regime, tmp_path / "a")
