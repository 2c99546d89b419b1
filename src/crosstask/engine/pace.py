"""How long a step of an experiment takes on this machine and what it holds: a few steps of real training."""

import contextlib
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from crosstask.data.loading import evaluation_loader, train_loader
from crosstask.engine.execution import prepare_network
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware
from crosstask.engine.trainer import quieten


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What was measured.

    Attributes:
        step: seconds of an optimiser step whose batches are loaded.
        loading: seconds of one process for the batches of a step; None where they were given.
        validation: seconds of a validation image, loading and metrics included; None if left out.
        memory: GB at the peak: on a GPU of its allocator, on a CPU of the whole process.
    """

    step: float
    loading: float | None
    validation: float | None
    memory: float


def measure_pace(
    experiment: Experiment,
    hardware: Hardware,
    *,
    steps: int = 3,
    warmup: int = 2,
    batch: Mapping[str, Any] | None = None,
    validate: bool = True,
    compile: bool = False,
) -> Pace:
    """Trains some steps on one batch, without a run directory, and validates on one batch.

    The experiment's network is changed. Stored features are not used.

    Args:
        experiment: what is measured.
        hardware: where, and in which precision.
        steps: that are timed.
        warmup: before them.
        batch: what is trained on; the first of the training set if left out.
        validate: whether validation is timed, on as many images as a batch of it has.
        compile: the network through torch.compile.

    Raises:
        ValueError, OSError: as in training; data that is not there.
    """
    if steps < 1 or warmup < 0:
        raise ValueError(f"`steps` is {steps}, `warmup` {warmup}; expected at least 1 and 0")
    quieten()
    prepare_network(experiment.regime, hardware, compile, recompute=False)
    group, loading = experiment.accumulate, None
    if batch is None:
        batch, seconds = _first_batch(experiment)
        loading = group * seconds
    else:
        experiment.train_data()  # tells the balancer how long the run is
    val_batch, val_seconds = _first_validation(experiment) if validate else ({}, 0.0)
    clock = _Clock(warmup)
    trainer = pl.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=hardware.trainer_precision,
        max_steps=warmup + steps,
        accumulate_grad_batches=group,
        gradient_clip_val=experiment.clip,
        limit_val_batches=int(validate),
        val_check_interval=(warmup + steps) * group,
        num_sanity_val_steps=0,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    _forget_peak(hardware)
    batches: Any = DataLoader([batch] * ((warmup + steps) * group), batch_size=None)  # type: ignore[arg-type]
    trainer.fit(experiment.regime, batches, DataLoader([val_batch], batch_size=None))  # type: ignore[arg-type]
    images = len(val_batch["image"]) if validate else 1
    return Pace(
        step=clock.step,
        loading=loading,
        validation=(clock.validation + val_seconds) / images if validate else None,
        memory=_peak(hardware) / 1e9,
    )


def _first_batch(experiment: Experiment) -> tuple[dict[str, Any], float]:
    """A batch of the training set and the seconds that it took, after one that warms files up."""
    loader = train_loader(
        experiment.train_data(), batch_size=experiment.batch_size, batches=2, seed=experiment.seed
    )
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    return next(batches), time.perf_counter() - start


def _first_validation(experiment: Experiment) -> tuple[dict[str, Any], float]:
    loader = evaluation_loader(experiment.val_data(), batch_size=experiment.val_batch_size)
    start = time.perf_counter()
    return next(iter(loader)), time.perf_counter() - start


class _Clock(pl.Callback):
    """Mean time of the steps after the warm-up: a GPU is waited for before and after them only."""

    def __init__(self, warmup: int) -> None:
        self.warmup, self.step, self.validation = warmup, 0.0, 0.0
        self._start = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any
    ) -> None:
        if trainer.global_step == self.warmup and not self._start:
            self._start = _now(module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == trainer.max_steps:
            done = trainer.global_step - self.warmup
            self.step = (_now(module.device) - self._start) / done

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._start = _now(module.device)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.validation = _now(module.device) - self._start


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter()


def _forget_peak(hardware: Hardware) -> None:
    if hardware.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(
        OSError
    ):  # elsewhere than on Linux the peak of the whole process counts
        Path("/proc/self/clear_refs").write_text("5")


def _peak(hardware: Hardware) -> float:
    """Bytes."""
    if hardware.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return 1024.0 * float(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
