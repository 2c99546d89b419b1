"""Training from stored features: the same steps whoever computed them, told and checked beforehand."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crosstask.data.sample import DataError
from crosstask.data.transforms import FixedViews, JointTransform, evaluation
from crosstask.engine.experiment import Experiment
from crosstask.engine.training import train
from crosstask.media.files import DiskFullError
from crosstask.regimes.regime import Regime
from fakes.scenes import Scenes

Make = Callable[..., Experiment]


class Viewed(Scenes):
    """Scenes that are mirrored or brightened at random, as fixed views."""

    def __init__(self, views: int) -> None:
        super().__init__(6)
        self.transform = FixedViews(evaluation((32, 64)), JointTransform([_brighten]), views)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.transform(super().__getitem__(index))


def _brighten(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "image": sample["image"] * float(0.5 + torch.rand(()) / 2)}


class Stop(Exception):
    pass


def run(made: Experiment, place: Path, **options: Any) -> dict[str, Tensor]:
    train(made, place, config={"recipe": "test", "steps": 6}, progress=False, **options)
    return torch.load(place / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def stopped_at(step: int, made: Experiment, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Regime.on_train_batch_start

    def stop(self: Regime, batch: Any, batch_idx: int) -> None:
        if self.global_step == step:
            raise Stop
        start(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Regime, "on_train_batch_start", stop)
        run(made, place)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[k], other[k]) for k in one)


def cached(make: Make, folder: Path, views: int = 2, **options: Any) -> Experiment:
    settings = {"freeze": "encoder", "cache_features": str(folder), "cache_views": views}
    return make(train=Viewed(views), **(settings | options))


def test_features_are_computed_once_and_then_only_read(
    experiment: Make, tmp_path: Path, capsys: Any
) -> None:
    first = run(cached(experiment, tmp_path / "cache", val_every=6), tmp_path / "first")
    told = capsys.readouterr().err
    assert "stored features: up to 12 files" in told and "0 are there" in told
    files = sorted((tmp_path / "cache").glob("*/*.npz"))
    assert 6 <= len(files) <= 12
    kept = {file: file.stat().st_mtime_ns for file in files}
    second = run(cached(experiment, tmp_path / "cache", val_every=6), tmp_path / "second")
    assert equal(first, second)
    assert {file: file.stat().st_mtime_ns for file in files} == kept


def test_damaged_and_missing_files_change_no_step(experiment: Make, tmp_path: Path) -> None:
    first = run(cached(experiment, tmp_path / "cache"), tmp_path / "first")
    files = sorted((tmp_path / "cache").glob("*/*.npz"))
    files[0].unlink()
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:-40])
    assert equal(first, run(cached(experiment, tmp_path / "cache"), tmp_path / "second"))
    assert files[0].is_file() and files[1].read_bytes() == whole


@pytest.mark.parametrize("at", [2, 5])
def test_a_resumed_run_is_bit_identical(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Before and after the encoder is unfrozen, with batch statistics, even without the first features."""
    options: dict[str, Any] = {"unfreeze_at": 3, "workers": 2, "accumulate": 2, "ema": 0.9}
    whole = run(cached(experiment, tmp_path / "a", **options), tmp_path / "whole")
    stopped_at(at, cached(experiment, tmp_path / "b", **options), tmp_path / "cut", monkeypatch)
    shutil.rmtree(tmp_path / "b")
    again = run(cached(experiment, tmp_path / "b", **options), tmp_path / "cut", resume=True)
    assert equal(whole, again)


def test_the_encoder_stays_until_it_is_unfrozen_and_moves_at_its_own_rate(
    experiment: Make, tmp_path: Path
) -> None:
    """A frozen encoder keeps its weights and batch statistics; at rate 0 only the statistics move then."""
    start = experiment().regime.network.state_dict()
    encoder = [name for name in start if name.startswith("encoder.")]
    statistics = [name for name in encoder if "running_" in name]
    frozen = run(cached(experiment, tmp_path / "cache"), tmp_path / "frozen")
    assert all(torch.equal(frozen[f"network.{n}"], start[n]) for n in encoder)
    slow = run(
        cached(experiment, tmp_path / "cache", unfreeze_at=4, encoder_lr=0.0), tmp_path / "slow"
    )
    learned = [n for n in encoder if "running_" not in n and "num_batches" not in n]
    assert all(torch.equal(slow[f"network.{n}"], start[n]) for n in learned)
    assert not any(torch.equal(slow[f"network.{n}"], start[n]) for n in statistics)
    trained = run(cached(experiment, tmp_path / "cache", unfreeze_at=4), tmp_path / "trained")
    assert not all(torch.equal(trained[f"network.{n}"], start[n]) for n in learned)


def test_unfrozen_training_reads_images(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cached(experiment, tmp_path / "cache", unfreeze_at=4, val_every=6)
    run(made, tmp_path / "first")
    seen: list[bool] = []
    original = Regime.training_step

    def step(self: Regime, batch: Any, batch_idx: int) -> Tensor:
        seen.append("stored_features" in batch)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Regime, "training_step", step)
    run(cached(experiment, tmp_path / "cache", unfreeze_at=4, val_every=6), tmp_path / "second")
    assert seen == [True] * 4 + [False] * 2


def test_stored_features_are_those_of_the_network_but_for_half_floats(
    experiment: Make, tmp_path: Path
) -> None:
    made = cached(experiment, tmp_path, architecture="multi_task_matched")
    regime: Any = made.regime.eval().requires_grad_(False)
    batch = {k: v[None] for k, v in Scenes(1)[0].items() if isinstance(v, Tensor)}
    plain = regime.losses(batch)
    maps = regime.frozen_features(batch["image"])
    stored = {"stored_features": [x[None] for x in maps], "features_stored": torch.tensor([True])}
    missing = {
        "stored_features": [torch.zeros_like(x)[None] for x in maps],
        "features_stored": torch.tensor([False]),
    }
    for name, loss in regime.losses(batch | stored).items():
        assert loss == pytest.approx(float(plain[name]), rel=1e-3)
        assert torch.equal(regime.losses(batch | missing)[name], loss)


def test_what_cannot_work_is_refused(experiment: Make, tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    with pytest.raises(ValueError, match="add `--freeze encoder`"):
        experiment(cache_features=folder)
    with pytest.raises(ValueError, match="without `cache_features`"):
        experiment(freeze="encoder", cache_views=2)
    for step in (6, 7):
        with pytest.raises(ValueError, match="expected a step from 1 to 5"):
            experiment(freeze="encoder", unfreeze_at=step)
    with pytest.raises(ValueError, match="add `--freeze encoder`"):
        experiment(unfreeze_at=3)
    with pytest.raises(ValueError, match="keeps its encoder frozen itself"):
        experiment(architecture="linear_probe", freeze="encoder", unfreeze_at=3)
    made = experiment(train=Scenes(8, noise=0.1), freeze="encoder", cache_features=folder)
    with pytest.raises(DataError, match=r"at random on the fly.*FixedViews.*--cache-views N"):
        run(made, tmp_path / "random")
    made = experiment(train=Scenes(8), freeze="encoder", cache_features=folder, cache_views=3)
    with pytest.raises(DataError, match="`cache_views` is 3, but this recipe changes no image"):
        run(made, tmp_path / "plain")
    made = cached(experiment, tmp_path / "cache")
    with pytest.raises(ValueError, match="leave out one of them"):
        run(made, tmp_path / "compiled", compile=True)
    with pytest.raises(ValueError, match="works in one process"):
        run(cached(experiment, tmp_path / "cache", unfreeze_at=3), tmp_path / "two", devices=2)


def test_the_probe_needs_no_further_option(experiment: Make, tmp_path: Path) -> None:
    made = experiment(
        train=Scenes(4), architecture="linear_probe", cache_features=str(tmp_path / "cache")
    )
    run(made, tmp_path / "run")
    assert len(list((tmp_path / "cache").glob("*/*.npz"))) == 4


def test_what_does_not_fit_is_refused_before_the_first_step(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = shutil.disk_usage(tmp_path)._replace(free=40_000)
    monkeypatch.setattr("crosstask.engine.stored_features.shutil.disk_usage", lambda place: small)
    with pytest.raises(DiskFullError, match=r"up to 12 files.*There is no room"):
        run(cached(experiment, tmp_path / "cache"), tmp_path / "run")
    assert not list((tmp_path / "cache").glob("*/*.npz"))
