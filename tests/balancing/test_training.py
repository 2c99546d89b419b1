"""Balancing inside the trainer: accumulated batches, clipping, and a resume in mid-run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.engine.checkpoints import read_checkpoint
from crosstask.engine.runs import Run
from crosstask.engine.training import train
from crosstask.recipes.procedural import supervised
from crosstask.regimes.supervised import Supervised


def experiment(balancing: str) -> Any:
    return supervised(
        tasks="segmentation,depth",
        size="32x64",
        train_length=4,
        val_length=1,
        width=0.125,
        steps=4,
        batch_size=1,
        accumulate=2,
        clip=0.5,
        val_every=2,
        workers=0,
        balancing=balancing,
    )


def run(balancing: str, place: Path, resume: bool = False) -> dict[str, Any]:
    config = {"recipe": "procedural.supervised", "balancing": balancing}
    train(
        experiment(balancing),
        place,
        config=config,
        resume=resume,
        accelerator="cpu",
        precision="32",
        progress=False,
    )
    return read_checkpoint(Run(place).last)["state_dict"]


@pytest.mark.parametrize("balancing", ["dwa", "dwa:epoch=2", "gradnorm"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    balancing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(balancing, tmp_path / "whole")
    original = Supervised.losses

    def fails_in_step_three(self: Supervised, batch: Any) -> Any:
        if self.global_step == 3:
            raise RuntimeError("power cut")
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Supervised, "losses", fails_in_step_three)
        with pytest.raises(RuntimeError, match="power cut"):
            run(balancing, tmp_path / "cut")
    resumed = run(balancing, tmp_path / "cut", resume=True)
    assert list(resumed) == list(whole)
    for key, value in whole.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(resumed[key], value), key
    if balancing.startswith("dwa"):  # by hand: two epochs of history after eight batches
        assert len(whole["balancer._extra_state"][""]["_previous_averages"]) == 2
    if balancing == "gradnorm":
        assert not torch.equal(whole["balancer.value"], torch.ones(2))


def weights_move_at(balancing: str, **options: Any) -> int:
    """The first batch at which the weights are no longer equal, when one loss falls; or 0."""
    made = supervised(tasks="segmentation,depth", width=0.125, balancing=balancing, **options)
    made.train_data()
    balancer = made.regime.balancer
    balancer.weights = {}
    for batch in range(1, made.steps * made.accumulate + 1):
        segmentation, depth = torch.tensor(100.0 / batch), torch.tensor(1.0)
        total = balancer.combine({"segmentation": segmentation, "depth": depth})
        if not torch.isclose(total, segmentation + depth, rtol=1e-3):
            return batch
    return 0


def test_dwa_acts_within_a_run_of_the_default_length() -> None:
    # 400 batches: epochs of a tenth, shorter than a pass of 2000 scenes in batches of 4
    assert weights_move_at("dwa") == 2 * 40 + 1
    # a pass of 20 batches is shorter than the tenth
    assert weights_move_at("dwa", train_length=80) == 2 * 20 + 1
    assert weights_move_at("dwa:epoch=150") == 2 * 150 + 1


def test_a_run_too_short_for_dwa_is_announced() -> None:
    with pytest.warns(UserWarning, match="two epochs of 200 batches, and the run has 400"):
        assert weights_move_at("dwa:epoch=200") == 0
    with pytest.warns(UserWarning, match="its weights never move; train longer"):
        assert weights_move_at("dwa", steps=2, val_every=1) == 0
    with pytest.raises(ValueError, match="epoch=0; expected a number of batches"):
        weights_move_at("dwa:epoch=0")


@pytest.mark.parametrize("balancing", ["mgda", "pcgrad", "gradnorm"])
def test_networks_that_share_nothing_are_refused_gradient_balancing(balancing: str) -> None:
    options: dict[str, Any] = {"architecture": "single_task", "width": 0.125}
    with pytest.raises(ValueError, match="share nothing; take paper, equal"):
        supervised(tasks="segmentation,depth", balancing=balancing, **options)
    for frozen in ({"freeze": "encoder"}, {"architecture": "linear_probe"}):
        with pytest.raises(ValueError, match=r"frozen and has none.*no `--freeze encoder`"):
            supervised(tasks="segmentation,depth", width=0.125, balancing=balancing, **frozen)
    later = {"freeze": "encoder", "unfreeze_at": 5, "width": 0.125}
    assert supervised(tasks="segmentation,depth", balancing=balancing, **later).regime is not None
    assert supervised(tasks="depth", balancing=balancing, **options).regime is not None
    assert supervised(tasks="segmentation,depth", balancing="dwa", **options).regime is not None


def test_accumulated_batches_of_a_method_that_is_not_linear_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--accumulate 1` with a larger `--batch-size`"):
        run("geometricmean", tmp_path / "run")
    assert not (tmp_path / "run").exists()  # refused before anything is written
