"""Balancing inside the trainer: accumulated batches, clipping, and a resume in mid-run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from crosstask.model_files import read_checkpoint
from crosstask.recipes.procedural import supervised
from crosstask.regimes.supervised import Supervised
from crosstask.runs import Run
from crosstask.training import train


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


@pytest.mark.parametrize("balancing", ["dwa:epoch=1", "gradnorm"])
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
    if balancing == "gradnorm":
        assert not torch.equal(whole["balancer.value"], torch.ones(2))
