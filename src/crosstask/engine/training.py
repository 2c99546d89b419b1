"""From an experiment to a finished run directory. Lightning's Trainer is the engine."""

import json
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch.utils.data import Dataset

from crosstask.data.combine.skip import SkipBad, joined_report, skipping
from crosstask.engine.callbacks.cuda_graphs import check_cuda_graphs
from crosstask.engine.class_weights import set_class_weights
from crosstask.engine.execution import check_freezing, check_processes, prepare_network
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware, choose
from crosstask.engine.interruption import Watch
from crosstask.engine.processes import process_rank, watching
from crosstask.engine.recording import description, record, trained_range
from crosstask.engine.resuming import Start, kept_precision, prepare, start_of_others
from crosstask.engine.run_data import RunData
from crosstask.engine.runs import Run, read_json
from crosstask.engine.scoring import consider_the_end, finish
from crosstask.engine.threads import choose_workers, chosen_threads
from crosstask.engine.trackers import Trackers
from crosstask.engine.trainer import create_trainer, quieten
from crosstask.engine.training_camera import training_camera
from crosstask.engine.training_feeding import training_feeding
from crosstask.engine.warm_start import take_over_inputs
from crosstask.media.files import write_json
from crosstask.plugins.trust import whole_paths


def train(
    experiment: Experiment,
    run: Path | str,
    *,
    config: Mapping[str, Any] | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    precision: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    trackers: tuple[str, ...] = (),
    progress: bool = True,
    compile: bool = False,
    recompute: bool = False,
    cuda_graphs: bool = False,
) -> dict[str, float]:
    """Trains, scores the last checkpoint or the selected one, and writes the run directory.

    Args:
        config: the recipe's name and resolved options; what a resume is compared with.
        resume: continue from checkpoints/last.ckpt, or begin where nothing is saved yet;
            bit-identical to an uninterrupted run on CPU. See `crosstask.engine.resuming` for what a
            resumed run may change.
        accelerator, precision: see `crosstask.engine.hardware.choose`.
        devices, num_nodes, strategy: handed to Lightning (several processes: strategy "ddp").
        trackers: any of "wandb", "mlflow", beside CSV and TensorBoard.
        compile: run the network through torch.compile (one graph, no breaks).
        recompute: activation checkpointing, see `crosstask.models.layers.recompute`.
        cuda_graphs: replay the network's passes on a GPU, see `crosstask.engine.callbacks.cuda_graphs`.

    Returns:
        The content of metrics.json.

    Raises:
        RunError: the directory is in use, holds another run, or cannot be resumed.
        Stopped: a signal came (Ctrl-C, SIGTERM); the step that it came in is saved.
        ProcessEndedError: another of several processes ended; says which.
        NonFiniteError: loss, weights or outputs are not finite; the last good checkpoint is kept.
        DiskFullError: no room; the last good checkpoint is kept.
        ValueError: `compile` and `recompute` together, `cuda_graphs` with what cannot be replayed, no compiler, a tracker that refuses, or
            processes that this machine cannot start.
        ModuleNotFoundError: a tracker is not installed.
    """
    quieten()
    place = Run(run)
    hardware = choose(accelerator, kept_precision(place, precision) if resume else precision)
    check_processes(devices, num_nodes, strategy, hardware.device.type)
    _prepare(experiment, hardware, compile, recompute, cuda_graphs, devices * num_nodes)
    settings = whole_paths(json.loads(json.dumps(dict(config or {}), default=str)))
    description(experiment, settings)  # refuses what could not be loaded, before it writes
    rank_zero = process_rank() == 0
    if rank_zero and devices * num_nodes > 1:
        _tell_the_batch(experiment, devices * num_nodes)
    processes = {"devices": devices, "num_nodes": num_nodes}
    machine = {"precision": hardware.precision, **processes}
    tracked = Trackers(trackers, place.path)
    with Watch().handle() as watch, place.lock() if rank_zero else nullcontext(), tracked:
        first = prepare(place, settings, machine, resume) if rank_zero else None
        start = first or start_of_others(place, resume)
        train_set, val_set = experiment.train_data(), experiment.val_data()
        described = _set_out(place, experiment, settings, train_set, val_set, start)
        scored_set = experiment.scored_data()
        if rank_zero:
            sets = {"train": train_set, "val": scored_set, "selection": val_set}
            record(place, experiment, hardware, start, sets, described)
        trainer = create_trainer(
            place,
            experiment,
            hardware,
            start,
            watch,
            val_set,
            trackers=tracked,
            config=settings,
            progress=progress,
            cuda_graphs=cuda_graphs,
            strategy=strategy,
            **processes,
        )
        data = RunData(experiment, train_set, val_set, start.step)
        if not _fit(trainer, place, experiment, data, start):
            return {}
        consider_the_end(trainer, place, experiment, hardware, val_set)
        metrics = finish(place, experiment, hardware, train_set, scored_set)
        tracked.report(metrics, trainer.global_step, place.path / "panel.png")
        return metrics


def _prepare(
    experiment: Experiment,
    hardware: Hardware,
    compile: bool,
    recompute: bool,
    cuda_graphs: bool,
    processes: int,
) -> None:
    """Refuses ways of running that exclude each other; makes the network run as asked."""
    check_freezing(experiment, compile, processes)
    if cuda_graphs:
        check_cuda_graphs(experiment, hardware.device.type, compile, recompute, processes)
    prepare_network(experiment.regime, hardware, compile, recompute)


def _tell_the_batch(e: Experiment, processes: int) -> None:
    """The rate of a recipe is that of its batch in one process; several see more images a step."""
    one, rate = e.batch_size * e.accumulate, e.regime.settings.lr
    warnings.warn(
        f"{processes} processes of {one} images are {processes * one} images a step, and the learning "
        f"rate stays {rate:g}; for as many images as in one process set `--batch-size` to 1/{processes}, "
        f"or try a larger `--lr`",
        stacklevel=3,
    )


def _tell_random_features(experiment: Experiment, settings: Mapping[str, Any]) -> None:
    """A frozen encoder without weights is a control at best, and else a forgotten option."""
    regime, weights = experiment.regime, settings.get("encoder_weights")
    random = weights == "none" or (not weights and settings.get("pretrained") is False)
    stays = regime.encoder_is_frozen() and regime.unfreeze_at is None
    if random and stays and not settings.get("init_from"):
        warnings.warn(
            "the encoder stays at its random weights, which know nothing of images; give it weights with "
            "`--pretrained` or `--init-from`, or train it (no `--freeze encoder`, not the linear probe)",
            stacklevel=3,
        )


def _set_out(
    place: Run,
    experiment: Experiment,
    settings: dict[str, Any],
    train_set: Any,
    val_set: Any,
    start: Start,
) -> dict[str, Any]:
    """Tells the regime what it has to know of its data and its past; returns the run's model.json."""
    regime = experiment.regime
    before = read_json(place.path / "model.json") if start.checkpoint else None
    if before is None:
        _tell_random_features(experiment, settings)
    if before is not None:  # as when it began, whatever is the default now
        take_over_inputs(regime, regime.companions(), before)
    set_class_weights(experiment, train_set, before, choose_workers(experiment.workers))
    regime.epoch_batches = max(1, len(train_set) // experiment.batch_size)
    camera = training_camera(experiment.tasks, train_set)
    feeding = training_feeding(train_set, val_set)
    described = description(experiment, settings, camera, trained_range(train_set), feeding)
    regime.description = json.dumps(described)
    return described


def _fit(
    trainer: pl.Trainer, place: Run, experiment: Experiment, data: RunData, start: Start
) -> bool:
    """Trains, and writes what was skipped; whether this is the process that goes on alone."""
    advice = f"Run the same command with --resume: {place.path} goes on from what it saved last"
    with watching(trainer.strategy.launcher, trainer.world_size, advice):
        threads = chosen_threads(trainer.num_devices)
        if threads is not None:  # the processes of this machine divide its cores
            torch.set_num_threads(threads)
        trainer.fit(
            experiment.regime,
            datamodule=data,
            ckpt_path=None if start.checkpoint is None else str(start.checkpoint),
            weights_only=True,
        )
        experiment.regime.check_finite()
        unreadable = _gathered(trainer, data.train_set)
        rank = trainer.global_rank
        _leave_the_other_processes()
    if unreadable and rank == 0:
        write_json(place.path / "skipped.json", joined_report(unreadable))
    return rank == 0


def _leave_the_other_processes() -> None:
    """What follows training is the first process's alone; no metric may wait for the others."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _gathered(trainer: pl.Trainer, train_set: Dataset[Any]) -> list[SkipBad]:
    """The parts of a training set that skip bad files, each knowing what all processes skipped.

    After `fit` the regime is back on the CPU, where NCCL cannot gather.
    """
    parts = skipping(train_set)
    for part in parts:
        part.gather(trainer.strategy.root_device)
    return parts
