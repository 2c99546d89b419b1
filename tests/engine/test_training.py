"""Training: exact resume, what a run leaves behind, and what happens when things go wrong."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crosstask.data.combine.skip import SkipBad
from crosstask.data.sample import DataError
from crosstask.engine import checkpoints, places
from crosstask.engine.callbacks.run_logger import RunLogger
from crosstask.engine.experiment import Experiment
from crosstask.engine.metrics_file import MetricsFile, read_rows
from crosstask.engine.run_data import RunData
from crosstask.engine.runs import BEST_ON_REPORTED, Run, RunError
from crosstask.engine.training import _gathered, _tell_the_batch, train
from crosstask.evaluation.evaluate import Evaluator
from crosstask.media.files import DiskFullError, write_json
from crosstask.predict.model import load
from crosstask.regimes.loss_watch import NonFiniteLossError
from crosstask.regimes.regime import Regime
from fakes.scenes import Scenes

Make = Callable[..., Experiment]
CONFIG = {"recipe": "test", "steps": 6}


class Stop(Exception):
    pass


def weights(run: Path) -> dict[str, Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def equal(a: Path, b: Path) -> bool:
    left, right = weights(a), weights(b)
    return list(left) == list(right) and all(torch.equal(left[k], right[k]) for k in left)


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    start = Regime.on_train_batch_start

    def stop(self: Regime, batch: Any, batch_idx: int) -> None:
        if self.global_step == at:
            raise Stop
        start(self, batch, batch_idx)

    monkeypatch.setattr(Regime, "on_train_batch_start", stop)


@pytest.mark.parametrize("at", [3, 4])
def test_a_resumed_run_is_bit_identical(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """With two workers, moving average, dropout, accumulation and learned balancing."""
    options = {"workers": 2, "ema": 0.9, "balancing": "uncertainty", "accumulate": 2}
    train(experiment(**options), tmp_path / "whole", config=CONFIG, progress=False)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        interrupt(patch, at)
        train(experiment(**options), tmp_path / "cut", config=CONFIG, progress=False)
    train(experiment(**options), tmp_path / "cut", config=CONFIG, resume=True, progress=False)
    assert equal(tmp_path / "whole", tmp_path / "cut")
    whole, cut = (tmp_path / name / "metrics.csv" for name in ("whole", "cut"))
    assert read_rows(whole) == read_rows(cut)
    assert (tmp_path / "whole/metrics.json").read_text() == (
        tmp_path / "cut/metrics.json"
    ).read_text()


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from fakes.scenes import Scenes, scene_tasks
from crosstask.recipes.supervised import supervised_experiment
from crosstask.regimes.regime import Regime
from crosstask.engine.training import train
start = Regime.on_train_batch_start
def die(self, batch, batch_idx):
    if self.global_step == 5: os.kill(os.getpid(), signal.SIGKILL)
    start(self, batch, batch_idx)
Regime.on_train_batch_start = die
train(supervised_experiment(
    tasks=scene_tasks(("segmentation", "depth")), train_data=lambda: Scenes(8, noise=0.1),
    val_data=lambda: Scenes(3, offset=100), encoder="resnet10t", pretrained=False, width=0.0625,
    size="32x64", steps=6, batch_size=2, val_every=2, workers=2, optimizer="matched"),
    {run!r}, config={config!r}, progress=False)
"""


def test_a_killed_process_resumes_exactly(experiment: Make, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = KILLED.format(tests=tests, run=str(tmp_path / "cut"), config=CONFIG)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()[-2000:]
    train(experiment(workers=2), tmp_path / "whole", config=CONFIG, progress=False)
    train(experiment(), tmp_path / "cut", config=CONFIG, resume=True, progress=False)
    assert equal(tmp_path / "whole", tmp_path / "cut")


def test_what_a_run_leaves_behind(experiment: Make, tmp_path: Path) -> None:
    run = tmp_path / "run"
    metrics = train(experiment(), run, config=CONFIG, progress=False)
    for name in (
        "config.yaml",
        "env.json",
        "metrics.csv",
        "metrics.json",
        "model.json",
        "panel.png",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "tensorboard",
    ):
        assert (run / name).exists(), name
    assert not list(run.rglob("*.part"))
    assert json.loads((run / "metrics.json").read_text()) == metrics
    for key in ("segmentation/miou", "depth/rmse", "depth/delta1", "score", "trivial/depth/rmse"):
        assert key in metrics
    expected = (metrics["segmentation/miou"] + metrics["depth/delta1"]) / 2
    assert metrics["score"] == pytest.approx(expected)
    env = json.loads((run / "env.json").read_text())
    assert env["packages"]["torch"] and env["data"]["train"]["source"] == "scenes"


def test_a_loaded_model_says_what_the_run_said(experiment: Make, tmp_path: Path) -> None:
    made = experiment(ema=0.5)
    train(made, tmp_path / "run", config=CONFIG, progress=False)
    model = load(tmp_path / "run")
    image = Scenes(1)[0]["image"][None]
    with torch.no_grad():
        expected = made.regime.inference_network()(image)
        found = model(image)
    assert list(found) == ["segmentation", "depth"]
    for task in found:
        assert torch.allclose(found[task][-1], expected[task][-1], atol=1e-4)
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes((tmp_path / "run/checkpoints/last.ckpt").read_bytes())
    assert torch.allclose(load(alone)(image)["depth"][-1], found["depth"][-1], atol=1e-5)


def test_the_moving_average_keeps_positions_in_tables(experiment: Make) -> None:
    """`window` looks biases up by integer positions, which an average would round down."""
    for decay in (0.9, 0.9999):
        regime = experiment(architecture="window", ema=decay).regime
        average = regime.ema
        assert average is not None
        before = {k: v.clone() for k, v in average.module.named_buffers()}
        for _ in range(3):
            average.update_parameters(regime.network)
        whole = {k: v for k, v in average.module.named_buffers() if not v.is_floating_point()}
        assert any("index" in name for name in whole)
        assert all(torch.equal(before[name], value) for name, value in whole.items())


def test_training_learns(experiment: Make, tmp_path: Path) -> None:
    metrics = train(
        experiment(steps=60, val_every=60, width=0.125), tmp_path / "run", config={}, progress=False
    )
    assert metrics["segmentation/miou"] > 0.6 > metrics["trivial/segmentation/miou"]


class TestRefusals:
    def test_another_run_in_the_directory(self, experiment: Make, tmp_path: Path) -> None:
        train(experiment(steps=1), tmp_path / "r", config=CONFIG, progress=False)
        with pytest.raises(RunError, match="--resume"):
            train(experiment(steps=1), tmp_path / "r", config=CONFIG, progress=False)

    def test_resume_with_other_settings_names_them(self, experiment: Make, tmp_path: Path) -> None:
        before = {"recipe": "a", "tasks": "segmentation,depth"}
        train(experiment(steps=1), tmp_path / "r", config=before, progress=False)
        with pytest.raises(
            RunError, match="tasks: 'segmentation,depth' then, 'depth,segmentation' now"
        ):
            after = {"recipe": "a", "tasks": "depth,segmentation"}
            train(experiment(steps=1), tmp_path / "r", config=after, resume=True, progress=False)

    @pytest.mark.parametrize("cut", [0, 1000])
    def test_a_cut_checkpoint(self, experiment: Make, tmp_path: Path, cut: int) -> None:
        train(experiment(steps=1), tmp_path / "r", config=CONFIG, progress=False)
        last = tmp_path / "r/checkpoints/last.ckpt"
        last.write_bytes(last.read_bytes()[:cut])
        with pytest.raises(checkpoints.ModelFileError, match="cut or damaged"):
            train(experiment(steps=1), tmp_path / "r", config=CONFIG, resume=True, progress=False)

    def test_a_checkpoint_with_code_in_it(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (os.system, ("touch hacked",))

        torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
        with pytest.raises(checkpoints.ModelFileError, match="could run code"):
            load(tmp_path / "evil.ckpt")
        assert not Path("hacked").exists()

    def test_weights_of_another_architecture(self, experiment: Make, tmp_path: Path) -> None:
        train(experiment(steps=1), tmp_path / "r", config=CONFIG, progress=False)
        path = tmp_path / "r/checkpoints/last.ckpt"
        content = torch.load(path, weights_only=True)
        description = json.loads(content["model_description"])
        description["model"]["options"] = {"alpha": False}
        content["model_description"] = json.dumps(description)
        torch.save(content, path)
        with pytest.raises(checkpoints.ModelFileError, match=r"unexpected \(2\)"):
            load(tmp_path / "r")


class TestFailures:
    def test_a_non_finite_loss_names_step_task_and_samples(
        self, experiment: Make, tmp_path: Path
    ) -> None:
        class Broken(Scenes):
            def __getitem__(self, index: int) -> dict[str, Any]:
                sample = super().__getitem__(index)
                sample["image"] = sample["image"] * (float("nan") if index == 5 else 1.0)
                return sample

        with pytest.raises(
            NonFiniteLossError, match=r"segmentation, depth is not finite at step \d.*scene 5"
        ):
            train(
                experiment(train=Broken(8), val_every=1),
                tmp_path / "r",
                config=CONFIG,
                progress=False,
            )
        last = tmp_path / "r/checkpoints/last.ckpt"
        if last.is_file():
            assert all(torch.isfinite(v).all() for v in weights(tmp_path / "r").values())

    def test_a_failing_disk_leaves_the_previous_checkpoint(
        self, experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import lightning.pytorch as pl

        save = pl.Trainer.save_checkpoint

        def full(self: Any, path: Any, *args: Any, **kwargs: Any) -> None:
            save(self, path, *args, **kwargs)
            if self.global_step >= 4:
                os.truncate(path, 100)
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
        with pytest.raises(
            DiskFullError, match=r"no room for .*last\.ckpt.* old content is intact"
        ):
            train(experiment(), tmp_path / "r", config=CONFIG, progress=False)
        assert (
            torch.load(tmp_path / "r/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
        )
        assert not list((tmp_path / "r").rglob("*.part"))


def test_missing_labels_train_the_other_tasks(experiment: Make, tmp_path: Path) -> None:
    """A whole epoch without depth labels: a warning, no NaN, the depth head stays as it was."""
    data = Scenes(4, hidden={"depth": (0, 1, 2, 3)})
    made = experiment(train=data, steps=4)
    head = {
        k: v.clone()
        for k, v in made.regime.network.decoders["depth"].state_dict().items()
        if "weight" in k
    }
    with pytest.warns(UserWarning, match="no image of a whole epoch had a label for `depth`"):
        train(made, tmp_path / "r", config=CONFIG, progress=False)
    assert all(torch.isfinite(v).all() for v in weights(tmp_path / "r").values())
    assert head


def test_frozen_parts_do_not_move(experiment: Make, tmp_path: Path) -> None:
    made = experiment(freeze="encoder", steps=3)
    before = {k: v.clone() for k, v in made.regime.network.encoder.state_dict().items()}
    other = made.regime.network.decoders["depth"].state_dict()
    decoder = {k: v.clone() for k, v in other.items()}
    train(made, tmp_path / "r", config=CONFIG, progress=False)
    after = {
        k[len("network.encoder.") :]: v
        for k, v in weights(tmp_path / "r").items()
        if k.startswith("network.encoder.")
    }
    assert all(torch.equal(before[k], after[k]) for k in before)
    moved = weights(tmp_path / "r")
    assert any(not torch.equal(decoder[k], moved[f"network.decoders.depth.{k}"]) for k in decoder)


@pytest.mark.parametrize(
    ("options", "settings", "told"),
    [
        ({"freeze": "encoder"}, {"pretrained": False}, True),
        ({"architecture": "linear_probe"}, {"pretrained": True, "encoder_weights": "none"}, True),
        ({"freeze": "encoder"}, {"pretrained": False, "init_from": "runs/a"}, False),
        ({"freeze": "encoder"}, {"pretrained": False, "encoder_weights": "auto"}, False),
        ({"freeze": "encoder", "unfreeze_at": 1}, {"pretrained": False}, False),
        ({"freeze": "norms"}, {"pretrained": False}, False),
    ],
)
def test_features_that_stay_random_are_told(
    experiment: Make,
    options: dict[str, Any],
    settings: dict[str, Any],
    told: bool,
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    made = experiment(steps=2, **options)
    train(made, tmp_path / "r", config={**CONFIG, **settings}, progress=False)
    assert any("`--pretrained` or `--init-from`" in str(w.message) for w in recwarn) == told


def test_the_last_step_is_a_candidate_for_the_best(experiment: Make, tmp_path: Path) -> None:
    """Six steps, validation every four: the end is scored, too."""
    train(experiment(steps=6, val_every=4), tmp_path / "r", config=CONFIG, progress=False)
    last, best = (
        torch.load(tmp_path / f"r/checkpoints/{name}.ckpt", weights_only=True)
        for name in ("last", "best")
    )
    assert last["global_step"] == 6 and best["global_step"] in (4, 6)
    state = next(v for k, v in last["callbacks"].items() if k.startswith("Checkpoints"))
    assert state["validated_step"] == 4
    metrics = json.loads((tmp_path / "r/metrics.json").read_text())
    assert metrics["scored/step"] == 6 and metrics["scored/selected"] == 0


def test_the_scored_checkpoint_is_the_last_or_the_best_of_another_split(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score is best at step 2; the reported split is never validated."""
    compute, scores = Evaluator.compute, itertools.count(1)

    def falling(self: Evaluator) -> dict[str, float]:
        return compute(self) | {"score": 1 / next(scores)}

    monkeypatch.setattr(Evaluator, "compute", falling)
    other: Any = lambda: Scenes(5, offset=200)  # noqa: E731
    for select, step in (("last", 6), ("best", 2)):
        made = experiment(select=select, reported_data=other)
        found = train(made, tmp_path / select, config=CONFIG, progress=False)
        assert (found["scored/step"], found["scored/selected"]) == (step, select == "best")
        env = json.loads((tmp_path / select / "env.json").read_text())
        assert env["select"] == select and env["data"]["val"]["size"] == 5
        assert ("selection" in env["data"]) == (select == "best")
        state = torch.load(tmp_path / f"{select}/checkpoints/best.ckpt", weights_only=True)
        assert state["global_step"] == 2
        _, weights = places.find(tmp_path / select)
        scored = Run(tmp_path / select).checkpoint()
        assert scored.stem == select
        _, expected = places.find(scored)
        assert all(torch.equal(v, expected[k]) for k, v in weights.items())


def test_a_run_of_before_the_rule_was_scored_by_its_best(experiment: Make, tmp_path: Path) -> None:
    train(experiment(steps=2), tmp_path / "r", config={**CONFIG, "steps": 2}, progress=False)
    run = Run(tmp_path / "r")
    env = json.loads((run.path / "env.json").read_text())
    assert (run.rule(), run.checkpoint()) == ("last", run.last)
    del env["select"]
    write_json(run.path / "env.json", env)
    assert (run.rule(), run.checkpoint()) == (BEST_ON_REPORTED, run.best)
    run.best.unlink()
    assert run.checkpoint() == run.last  # all that is there
    write_json(run.path / "env.json", env | {"method": "source_only"})
    assert run.rule() == "last"  # adaptation never chose
    write_json(run.path / "env.json", env | {"select": "luck"})
    with pytest.raises(RunError, match="`select` is 'luck'"):
        run.rule()


def test_a_selection_split_that_cannot_be_is_refused(experiment: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`select` is 'first'; expected one of last, best"):
        replace(experiment(), select="first")
    with pytest.raises(DataError, match="--split"):  # Scenes have no other split
        train(experiment(select="best"), tmp_path / "r", config=CONFIG, progress=False)


def test_several_processes_say_how_many_images_a_step_sees(experiment: Make) -> None:
    with pytest.warns(UserWarning, match=r"8 processes of 4 images are 32 images a step"):
        _tell_the_batch(experiment(accumulate=2), 8)


def test_activation_checkpointing_trains_the_same_network(experiment: Make, tmp_path: Path) -> None:
    options = {"architecture": "densemtl", "tasks": ("segmentation", "depth", "normals")}
    for name in ("plain", "saving"):
        train(experiment(**options), tmp_path / name, progress=False, recompute=name == "saving")
    plain, saving = weights(tmp_path / "plain"), weights(tmp_path / "saving")
    assert list(plain) == list(saving)
    for key, value in plain.items():
        assert torch.allclose(value, saving[key], rtol=1e-3, atol=1e-5), key


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_losses_row_is_that_of_its_step(
    experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    """With accumulation the mean of the step's batches, which is the loss of the whole step."""
    seen: dict[int, float] = {}
    step = Regime.training_step

    def remember(self: Regime, batch: Any, batch_idx: int) -> Tensor:
        total = step(self, batch, batch_idx)
        seen[self.global_step] = (
            seen.get(self.global_step, 0.0) + float(total.detach()) / accumulate
        )
        return total

    monkeypatch.setattr(Regime, "training_step", remember)
    made = experiment(accumulate=accumulate, steps=7)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=7,
        accumulate_grad_batches=accumulate,
        log_every_n_steps=3,
        limit_val_batches=0,
        logger=RunLogger(MetricsFile(tmp_path / "metrics.csv")),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(made.regime, datamodule=RunData(made, made.train_data(), made.val_data(), 0))
    rows = [row for row in read_rows(tmp_path / "metrics.csv") if row[1] == "train/loss"]
    assert rows == [(at, "train/loss", pytest.approx(seen[at])) for at in (2, 5)]


class Listed(Dataset[int]):
    def __len__(self) -> int:
        return 6


def test_what_was_skipped_is_gathered_on_the_device_of_the_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not on the regime's, which is the CPU after training, whatever it was trained on."""
    asked = []
    monkeypatch.setattr(SkipBad, "gather", lambda self, device: asked.append(device))
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy._root_device = torch.device("cuda:1")
    part = SkipBad(Listed())
    assert _gathered(trainer, part) == [part]
    assert asked == [torch.device("cuda:1")]
    assert _gathered(trainer, Listed()) == []


def test_training_in_bf16(
    experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow on a CPU that emulates it, and said so; the weights and the saved model stay float32."""
    monkeypatch.setattr("crosstask.engine.hardware.cpu_has_fast_bf16", lambda: False)
    options = {"steps": 2, "tasks": ("segmentation", "depth", "normals", "edges")}
    with pytest.warns(UserWarning, match="emulates bf16"):
        metrics = train(
            experiment(**options),
            tmp_path / "run",
            config=CONFIG,
            accelerator="cpu",
            precision="bf16",
            progress=False,
        )
    assert all(torch.isfinite(torch.tensor(metrics[k])) for k in ("score", "depth/rmse"))
    assert json.loads((tmp_path / "run" / "env.json").read_text())["precision"] == "bf16"
    weights = load(tmp_path / "run").network.state_dict().values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
