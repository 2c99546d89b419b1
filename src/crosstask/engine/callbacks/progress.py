"""The progress bar."""

import time
from typing import Any, cast

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import Progress as RichProgress

from crosstask.media.progress import bar, duration


class Progress(pl.Callback):
    """A bar with steps, loss, last score and time left; plain lines where there is no terminal."""

    def __init__(self, steps: int, start: int = 0, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.steps, self.start = steps, start
        self.bar: RichProgress | None = None
        self._began = time.monotonic()
        self._printed = 0.0
        self._loss = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        self.bar = bar(self.console)
        self.task = self.bar.add_task("training", total=self.steps, completed=self.start, facts="")
        self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        step = trainer.global_step
        if trainer.is_global_zero:
            self._read_loss(trainer)
        if self.bar is not None:
            self.bar.update(self.task, completed=step, facts=self._facts(pl_module))
        elif trainer.is_global_zero and time.monotonic() - self._printed > 30:
            self._printed = time.monotonic()
            rate = (step - self.start) / max(self._printed - self._began, 1e-9)
            left = (self.steps - step) / max(rate, 1e-9)
            facts = self._facts(pl_module)
            self.console.print(
                f"step {step}/{self.steps}  {facts}  {rate:.2f} steps/s  {duration(left)} left"
            )

    def _facts(self, pl_module: pl.LightningModule) -> str:
        score = cast(Any, pl_module).validation_metrics.get("score")
        parts = [self._loss] if self._loss else []
        if score is not None:
            parts.append(f"score {score:.3f}")
        return "  ".join(parts)

    def _read_loss(self, trainer: pl.Trainer) -> None:
        """Looks at the loss on the steps that log one; looking waits for the device."""
        every = max(1, cast(Any, trainer).log_every_n_steps)
        if self._loss and trainer.global_step % every != 0:
            return
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None:
            self._loss = f"loss {float(loss):.2f}"

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()
