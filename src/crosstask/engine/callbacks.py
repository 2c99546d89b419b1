"""What happens around training: checkpoints, curves, panels and the progress bar."""

import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from torch import nn

from crosstask.data.spacing import evenly
from crosstask.drawing import panels
from crosstask.engine.experiment import Experiment
from crosstask.engine.interruption import Stopped, Watch, requeue_job
from crosstask.engine.runs import MetricsFile, Run
from crosstask.evaluation.evaluate import Evaluator, to_device
from crosstask.evaluation.finite import (
    NonFiniteError,
    OutputWatch,
    in_any_process,
    learned,
    non_finite,
)
from crosstask.media.files import atomic_path


class RunLogger(Logger):
    """Writes scalars to the run's append-only metrics.csv (step, name, value)."""

    def __init__(self, file: MetricsFile) -> None:
        super().__init__()
        self.file = file

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> MetricsFile:
        return self.file

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration lies in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning sets the attribute once it knows how many processes there are.
        if getattr(pl.utilities.rank_zero_only, "rank", 0) == 0:
            values = {k: v for k, v in metrics.items() if k != "epoch"}
            self.file.append(int(step or 0), values)


class Checkpoints(pl.Callback):
    """last.ckpt at every validation and at the end; best.ckpt whenever `score` improves.

    Files are written beside their place, synchronised to disk and then renamed, so a full disk,
    a read-only folder or a kill leaves the previous checkpoint as it was. So do weights that are not
    finite, or whose outputs are not: none of them is saved.

    A signal that arrived meanwhile ends the run here, where the step is complete and saved.

    Args:
        run: the run directory.
        experiment: what is trained.
        watch: the signals.
    """

    def __init__(self, run: Run, experiment: Experiment, watch: Watch | None = None) -> None:
        self.run, self.experiment, self.watch = run, experiment, watch or Watch()
        self.best = -math.inf
        self.best_step = -1
        self.validated_step = -1
        self._saved_step = -1
        self._stops = False

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_step": self.best_step,
            "validated_step": self.validated_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        self.validated_step = state_dict["validated_step"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        regime = self.experiment.regime
        regime.check_finite()
        self.validated_step = trainer.global_step
        score = regime.validation_metrics.get("score", math.nan)
        if regime.keeps_last or score > self.best or (math.isnan(score) and self.best_step < 0):
            self.best = score if not math.isnan(score) else self.best
            self.best_step = trainer.global_step
            self._save(trainer, self.run.best, weights_only=True)
        self._save(trainer, self.run.last)
        self._stop_if_asked(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        cluster = trainer._accelerator_connector.cluster_environment
        requeue = None
        if isinstance(cluster, SLURMEnvironment) and cluster.auto_requeue:
            requeue = cluster.requeue_signal or signal.SIGUSR1
        self.watch.wait(requeue)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        step = trainer.global_step
        if (batch_idx + 1) % self.experiment.accumulate or step >= self.experiment.steps:
            return  # within a step, or at the end, where `on_train_end` follows
        if step % self.experiment.val_every == 0:
            return  # a validation follows, and saves
        stop = self._asked(trainer)
        every = max(1, min(self.experiment.val_every, 500))
        if stop or (step % every == 0 and step != self._saved_step):
            self._probe(trainer, batch)
            self._save(trainer, self.run.last)
        self._stops = stop  # before the next batch: the losses of this step are not written yet

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._stops:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.experiment.regime.check_finite()
        if trainer.global_step != self._saved_step:
            self._save(trainer, self.run.last)
        self._stop_if_asked(trainer)
        self.watch.waiting = False

    def _asked(self, trainer: pl.Trainer) -> bool:
        """Whether a signal has arrived, in any process: all of them stop at the same step."""
        here = self.watch.received is not None
        if trainer.world_size == 1:
            return here
        return trainer.strategy.reduce_boolean_decision(here, all=False)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if self._asked(trainer):
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> NoReturn:
        number = self.watch.received or signal.SIGTERM
        step, steps = trainer.global_step, self.experiment.steps
        message = f"stopped at step {step} of {steps}; continue with --resume"
        if number == self.watch.requeue and trainer.is_global_zero:
            message = f"stopped at step {step} of {steps}; {requeue_job()}"
        raise Stopped(number, message)

    @torch.no_grad()
    def _probe(self, trainer: pl.Trainer, batch: Mapping[str, Any]) -> None:
        """Weights that no step has used yet, tried on a batch: finite ones may have exploded.

        Raises:
            NonFiniteError: an output is NaN or infinite.
        """
        regime, watch = self.experiment.regime, OutputWatch()
        network = regime.inference_network()
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        with trainer.precision_plugin.forward_context():
            outputs = network(regime.image(batch))
        for module, mode in modes:
            module.training = mode
        for task in regime.tasks:
            watch.see(task.name, outputs[task.name][-1], batch)
        watch.check()

    def _save(self, trainer: pl.Trainer, path: Path, weights_only: bool = False) -> None:
        regime = self.experiment.regime
        regime.check_finite()
        bad = non_finite(learned(regime))
        if in_any_process(bool(bad), regime.device):
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise NonFiniteError(
                f"the weights are not finite after step {trainer.global_step} "
                f"({bad[0] if bad else 'in another process'}{more}); they are not saved, and the last "
                "good checkpoint is kept. Lower the learning rate (`--lr`), or train in float32 "
                "(`--precision 32`)"
            )
        if path == self.run.last:
            self._saved_step = trainer.global_step
        if not trainer.is_global_zero:  # takes part in gathering the state, writes nothing
            trainer.save_checkpoint(path, weights_only=weights_only)
            return
        with atomic_path(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=weights_only)


class Panels(pl.Callback):
    """An image of the first validation samples, to TensorBoard at every validation."""

    def __init__(self, experiment: Experiment, val_set: Any) -> None:
        self.experiment, self.val_set = experiment, val_set

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        boards = [
            cast(Any, x).experiment
            for x in trainer.loggers
            # What a tracker calls `experiment` is its own; TensorBoard's takes images.
            if hasattr(cast(Any, x).experiment, "add_image")
        ]
        if not boards:
            return
        network = self.experiment.regime.inference_network()
        image = self.image(self.experiment, network, self.val_set, pl_module.device, samples=1)
        for board in boards:
            cast(Any, board).add_image("panel", image, trainer.global_step)

    @staticmethod
    @torch.no_grad()
    def image(
        experiment: Experiment, network: nn.Module, dataset: Any, device: Any, samples: int = 3
    ) -> torch.Tensor:
        """(3,H,W) uint8: truth over prediction for evenly spaced samples."""
        network.eval()
        evaluator = Evaluator(experiment.tasks).to(device)
        drawn = []
        for index in evenly(len(dataset), samples):
            sample = dict(dataset[index])
            batch = {k: v[None] if isinstance(v, torch.Tensor) else [v] for k, v in sample.items()}
            batch = to_device(batch, device)
            predictions = evaluator.update(dict(network(batch["image"])), batch)
            drawn.append(
                panels.panel(
                    sample["image"],
                    {t.name: sample[t.name] for t in experiment.tasks},
                    {t.name: predictions[t.name][0].cpu() for t in experiment.tasks},
                    experiment.tasks,
                )
            )
        return panels.stack(drawn)

    @classmethod
    def write(
        cls, path: Path, experiment: Experiment, network: nn.Module, dataset: Any, device: Any
    ) -> None:
        panels.save(path, cls.image(experiment, network, dataset, device))


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
        self.bar = RichProgress(
            TextColumn("[bold]training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task("train", total=self.steps, completed=self.start, facts="")
        self.bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
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
                f"step {step}/{self.steps}  {facts}  {rate:.2f} steps/s  {left / 60:.1f} min left"
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
