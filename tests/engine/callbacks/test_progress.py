"""The progress bar."""

import io
from unittest.mock import MagicMock, Mock

import lightning.pytorch as pl
from rich.console import Console

from crosstask.engine.callbacks.progress import Progress
from crosstask.regimes.regime import Regime


def test_the_bar_looks_at_the_loss_only_where_one_is_logged() -> None:
    """Looking makes the CPU wait for a GPU."""
    bar = Progress(steps=9, console=Console(file=io.StringIO()))
    looks = []
    for step in range(1, 10):
        loss = MagicMock()
        loss.__float__.return_value = float(step)
        trainer = Mock(spec=pl.Trainer, global_step=step, log_every_n_steps=3, is_global_zero=True)
        trainer.callback_metrics = {"train/loss": loss}
        module = Mock(spec=Regime, validation_metrics={"score": 0.1 * step})
        bar.on_train_batch_end(trainer, module, None, None, 0)
        if loss.__float__.called:
            looks.append(step)
        latest = step if step % 3 == 0 else max(looks)
        assert bar._facts(module) == f"loss {latest:.2f}  score {0.1 * step:.3f}"
    assert looks == [1, 3, 6, 9]  # the first step shows that it runs
