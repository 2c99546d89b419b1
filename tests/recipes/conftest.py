"""What the tests of recipes share: a run that is interrupted, resumed and evaluated."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crosstask.cli import main
from crosstask.regimes.regime import Regime

RoundTrip = Callable[[Sequence[str], Path], dict[str, float]]


class Stop(Exception):
    pass


@pytest.fixture
def round_trip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RoundTrip:
    """(recipe with its options, run directory) -> metrics.json of two steps, stopped between them.

    `crosstask evaluate` finds the same numbers. In 32 bits, which evaluation computes in.
    """

    def go(recipe: Sequence[str], run: Path) -> dict[str, float]:
        command = ["train", *recipe, "--run", str(run), "--steps", "2", "--batch-size", "2"]
        command += ["--val-every", "1", "--workers", "0", "--precision", "32", "--quiet"]
        start = Regime.on_train_batch_start

        def stop(self: Regime, batch: Any, batch_idx: int) -> None:
            if self.global_step == 1:
                raise Stop
            start(self, batch, batch_idx)

        with monkeypatch.context() as patch, pytest.raises(Stop):
            patch.setattr(Regime, "on_train_batch_start", stop)
            main(command)
        assert main([*command, "--resume"]) == 0
        metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
        capsys.readouterr()
        assert main(["evaluate", str(run), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        for key, value in metrics.items():
            assert found[key] == pytest.approx(value, abs=1e-4, nan_ok=True), key
        return metrics

    return go
