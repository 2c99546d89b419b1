"""When a training saves, and where a signal ends it."""

import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment

from crosstask.engine.experiment import Experiment
from crosstask.engine.interruption import Stopped, Watch, requeue_job
from crosstask.engine.runs import Run
from crosstask.evaluation.finite import (
    NonFiniteError,
    OutputWatch,
    in_any_process,
    learned,
    non_finite,
)
from crosstask.media.files import atomic_path


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
