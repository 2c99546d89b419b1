"""Lightning's trainer with the loggers, callbacks and manners of this program."""

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import Dataset

from crosstask.engine.callbacks.checkpoints import Checkpoints
from crosstask.engine.callbacks.cuda_graphs import CudaGraphs
from crosstask.engine.callbacks.panels import Panels
from crosstask.engine.callbacks.progress import Progress
from crosstask.engine.callbacks.run_logger import RunLogger
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware
from crosstask.engine.interruption import Watch
from crosstask.engine.metrics_file import MetricsFile
from crosstask.engine.processes import process_rank
from crosstask.engine.resuming import FollowSchedule, Start
from crosstask.engine.runs import Run
from crosstask.engine.storing import DirectCheckpoints
from crosstask.engine.trackers import Trackers


def create_trainer(
    place: Run,
    experiment: Experiment,
    hardware: Hardware,
    start: Start,
    watch: Watch,
    val_set: Dataset[Any],
    *,
    trackers: Trackers,
    config: Mapping[str, Any],
    progress: bool,
    cuda_graphs: bool,
    **processes: Any,
) -> pl.Trainer:
    """The trainer of a run.

    Args:
        trackers: beside CSV and TensorBoard, in the first process; they get `config`.
        progress: show a bar.
        cuda_graphs: see `CudaGraphs`.
        processes: Lightning's `devices`, `num_nodes` and `strategy`.
    """
    e = experiment
    loggers: list[Any] = []
    if process_rank() == 0:
        loggers = [
            RunLogger(MetricsFile(place.metrics_file, start.step if start.checkpoint else None)),
            TensorBoardLogger(place.path, name="", version="tensorboard"),
            *trackers.open(config),
        ]
    callbacks: list[pl.Callback] = [Checkpoints(place, e, watch), Panels(e, val_set)]
    if start.checkpoint is not None:  # a run that got longer may have been cut off before it saved
        callbacks.append(FollowSchedule())
    if cuda_graphs:
        callbacks.append(CudaGraphs())
    if progress:
        callbacks.append(Progress(e.steps, start.step))
    return pl.Trainer(
        accelerator=hardware.accelerator,
        **processes,
        precision=hardware.trainer_precision,
        max_steps=e.steps,
        max_epochs=-1,
        accumulate_grad_batches=e.accumulate,
        gradient_clip_val=e.clip,
        val_check_interval=max(1, min(e.val_every, e.steps) * e.accumulate),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, e.steps // 20)),
        logger=loggers,
        callbacks=callbacks,
        plugins=[DirectCheckpoints()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def quieten() -> None:
    """Lightning's advertisements and two warnings about what this program does on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The stream itself starts at the right position, see crosstask.data.loading.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Frozen parts are in eval mode on purpose.
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
