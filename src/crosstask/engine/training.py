"""From an experiment to a finished run directory. Lightning's Trainer is the engine."""

import json
import logging
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import Dataset

from crosstask.data.combine.skip import SkipBad, joined_report, skipping
from crosstask.data.feeding import Feeding
from crosstask.data.loading import GroupedLoader, evaluation_loader, mix_seed, train_loader
from crosstask.engine import checkpoints
from crosstask.engine.callbacks import Checkpoints, Panels, Progress, RunLogger
from crosstask.engine.class_weights import set_class_weights
from crosstask.engine.environment import environment
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware, check_compiler, choose
from crosstask.engine.interruption import Watch
from crosstask.engine.processes import watching
from crosstask.engine.resuming import (
    FollowSchedule,
    Start,
    kept_precision,
    prepare,
    start_of_others,
)
from crosstask.engine.runs import MetricsFile, Run, read_json
from crosstask.engine.stored_features import with_stored_features
from crosstask.engine.storing import DirectCheckpoints
from crosstask.engine.threads import choose_workers, chosen_threads
from crosstask.engine.trackers import Trackers
from crosstask.engine.training_camera import training_camera
from crosstask.engine.training_feeding import training_feeding
from crosstask.evaluation.evaluate import evaluate_constants
from crosstask.media.files import atomic_path, write_json
from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork
from crosstask.models.companions.pose import PoseNetwork
from crosstask.models.networks.recompute import recompute_activations
from crosstask.models.registry import take_over_input
from crosstask.plugins.trust import whole_paths
from crosstask.regimes.regime import Regime
from crosstask.tasks import TrainingCamera


class RunData(pl.LightningDataModule):
    """The streams of a run; which part of them a process sees is asked of the trainer."""

    def __init__(
        self, experiment: Experiment, train: Dataset[Any], val: Dataset[Any], start: int
    ) -> None:
        super().__init__()
        self.experiment, self.train_set, self.val_set, self.start = experiment, train, val, start

    def _place(self) -> dict[str, Any]:
        trainer = cast(pl.Trainer, self.trainer)
        pin = trainer.strategy.root_device.type == "cuda"
        return {"rank": trainer.global_rank, "world": trainer.world_size, "pin_memory": pin}

    def _workers(self) -> int:
        trainer = cast(pl.Trainer, self.trainer)
        kind = trainer.strategy.root_device.type
        return choose_workers(self.experiment.workers, kind, trainer.num_devices)

    def train_dataloader(self) -> Any:
        e, trainer = self.experiment, cast(pl.Trainer, self.trainer)
        data = with_stored_features(
            e,
            self.train_set,
            start=self.start,
            world=trainer.world_size,
            tell=trainer.global_rank == 0,
        )
        loader = train_loader(
            data,
            batch_size=e.batch_size,
            batches=e.steps * e.accumulate,
            seed=mix_seed(e.seed, 7),
            start=self.start * e.accumulate,
            workers=self._workers(),
            **self._place(),
        )
        count = e.regime.count_labels
        return GroupedLoader(loader, e.accumulate, count) if e.accumulate > 1 else loader

    def val_dataloader(self) -> Any:
        e = self.experiment
        return evaluation_loader(
            self.val_set, batch_size=e.val_batch_size, workers=self._workers(), **self._place()
        )


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

    Returns:
        The content of metrics.json.

    Raises:
        RunError: the directory is in use, holds another run, or cannot be resumed.
        Stopped: a signal came (Ctrl-C, SIGTERM); the step that it came in is saved.
        ProcessEndedError: another of several processes ended; says which.
        NonFiniteError: loss, weights or outputs are not finite; the last good checkpoint is kept.
        DiskFullError: no room; the last good checkpoint is kept.
        ValueError: `compile` and `recompute` together, no compiler, or a tracker that refuses.
        ModuleNotFoundError: a tracker is not installed.
    """
    quieten()
    place = Run(run)
    hardware = choose(accelerator, kept_precision(place, precision) if resume else precision)
    _check_freezing(experiment, compile, devices * num_nodes)
    prepare_network(experiment.regime, hardware, compile, recompute)
    settings = whole_paths(json.loads(json.dumps(dict(config or {}), default=str)))
    description(
        experiment, settings
    )  # refuses, before anything is written, what could not be loaded again
    rank_zero = _rank() == 0
    if rank_zero and devices * num_nodes > 1:
        _tell_the_batch(experiment, devices * num_nodes)
    machine = {"precision": hardware.precision, "devices": devices, "num_nodes": num_nodes}
    tracked = Trackers(trackers, place.path)
    with Watch().handle() as watch, place.lock() if rank_zero else _nothing(), tracked:
        if rank_zero:
            start = prepare(place, settings, machine, resume)
        else:
            start = start_of_others(place, resume)
        train_set, val_set = experiment.train_data(), experiment.val_data()
        described = _set_out(place, experiment, settings, train_set, val_set, start)
        scored_set = experiment.scored_data()
        if rank_zero:
            splits = {"train": train_set, "val": scored_set}
            splits |= {"selection": val_set} if experiment.select == "best" else {}
            _record(place, experiment, hardware, splits, start)
            write_json(place.path / "model.json", described)
        trainer = _trainer(
            place,
            experiment,
            hardware,
            start,
            watch,
            devices,
            num_nodes,
            strategy,
            tracked,
            settings,
            progress,
            val_set,
        )
        advice = f"Run the same command with --resume: {place.path} goes on from what it saved last"
        with watching(trainer.strategy.launcher, trainer.world_size, advice):
            _fit(trainer, experiment, RunData(experiment, train_set, val_set, start.step), start)
            unreadable = _gathered(trainer, train_set)
            rank = trainer.global_rank
            _leave_the_other_processes()
        if rank != 0:
            return {}
        if unreadable:
            write_json(place.path / "skipped.json", joined_report(unreadable))
        _consider_the_end(trainer, place, experiment, hardware, val_set)
        metrics = finish(place, experiment, hardware, train_set, scored_set)
        tracked.report(metrics, trainer.global_step, place.path / "panel.png")
        return metrics


def _tell_the_batch(e: Experiment, processes: int) -> None:
    """The rate of a recipe is that of its batch in one process; several see more images a step."""
    one, rate = e.batch_size * e.accumulate, e.regime.settings.lr
    warnings.warn(
        f"{processes} processes of {one} images are {processes * one} images a step, and the learning "
        f"rate stays {rate:g}; for as many images as in one process set `--batch-size` to 1/{processes}, "
        f"or try a larger `--lr`",
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
    if before is not None:  # as when it began, whatever is the default now
        take_over_inputs(regime, regime.companions(), before)
    set_class_weights(experiment, train_set, before, choose_workers(experiment.workers))
    regime.epoch_batches = max(1, len(train_set) // experiment.batch_size)
    camera = training_camera(experiment.tasks, train_set)
    feeding = training_feeding(train_set, val_set)
    described = description(experiment, settings, camera, trained_range(train_set), feeding)
    regime.description = json.dumps(described)
    return described


def _fit(trainer: pl.Trainer, experiment: Experiment, data: RunData, start: Start) -> None:
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


def _consider_the_end(
    trainer: pl.Trainer, place: Run, experiment: Experiment, hardware: Hardware, val_set: Any
) -> None:
    """Scores the last step where no validation fell on it."""
    saved = next(c for c in trainer.callbacks if isinstance(c, Checkpoints))  # type: ignore[attr-defined]
    if saved.validated_step != trainer.global_step:
        _score_the_end(place, experiment, hardware, val_set, saved.best)


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


def prepare_network(regime: Regime, hardware: Hardware, compile: bool, recompute: bool) -> None:
    """How the network runs; neither changes what it computes, nor the keys of its weights."""
    if hardware.emulates:
        warnings.warn(
            "this CPU emulates bf16, ten to twenty times slower than float32; leave `--precision` out",
            stacklevel=3,
        )
    if compile and recompute:
        raise ValueError(
            "`--compile` plans what to recompute itself; leave out `--recompute` or `--compile`"
        )
    if recompute:
        recompute_activations(regime.network)
    if compile:
        check_compiler(hardware.device.type)
        # Balancers differentiate several losses of one graph, which then may not reuse its buffers.
        torch._functorch.config.donated_buffer = False
        # A graph for each of: gradients or none, training or evaluation, autocast or none, size of
        # the batch, memory layout. The limit of 8 would end a run with an error, perhaps at its end.
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        regime.network.compile(fullgraph=True)


def _check_freezing(experiment: Experiment, compile: bool, processes: int) -> None:
    if compile and experiment.cache_features is not None:
        raise ValueError(
            "`--compile` plans the whole network, and `--cache-features` leaves half of it out; leave out "
            "one of them"
        )
    if processes > 1 and experiment.regime.unfreeze_at is not None:
        raise ValueError(
            "`unfreeze_at` works in one process: several agree at the start on what is trained. Train "
            "with the frozen encoder first, then a second run with `--init-from` it and without `--freeze`"
        )


def _final_metrics(
    experiment: Experiment, hardware: Hardware, val_set: Dataset[Any]
) -> dict[str, float]:
    """The validation set through the regime's network as it is, in the run's precision."""
    with torch.autocast(hardware.device.type, torch.bfloat16, enabled=hardware.precision == "bf16"):
        return experiment.regime.final_metrics(
            val_set,
            batch_size=experiment.val_batch_size,
            workers=choose_workers(experiment.workers, hardware.accelerator),
            device=hardware.device,
        )


def _score_the_end(
    place: Run, experiment: Experiment, hardware: Hardware, val_set: Dataset[Any], best: float
) -> None:
    """The last step is a candidate for the best checkpoint, also between two validations."""
    metrics = _final_metrics(experiment, hardware, val_set)
    if not place.best.is_file() or metrics["score"] > best:
        with atomic_path(place.best) as temporary:
            shutil.copyfile(place.last, temporary)


def finish(
    place: Run,
    experiment: Experiment,
    hardware: Hardware,
    train_set: Dataset[Any],
    scored_set: Dataset[Any],
) -> dict[str, float]:
    """Scores the last or the selected checkpoint and the trivial predictors; writes metrics.json
    and panel.png."""
    network, scored = experiment.regime.inference_network(), place.checkpoint(experiment.select)
    _, weights = checkpoints.find(scored)
    checkpoints.load_weights(network, weights, str(scored))
    restore_companions(experiment.regime, scored)
    metrics = _final_metrics(experiment, hardware, scored_set)
    metrics |= evaluate_constants(experiment.tasks, train_set, scored_set)
    metrics |= experiment.regime.trivial_metrics(train_set, scored_set)
    metrics |= checkpoints.scored_facts(scored, place.rule())
    write_json(place.path / "metrics.json", metrics)
    Panels.write(place.path / "panel.png", experiment, network, scored_set, hardware.device)
    experiment.regime.write_images(place.path, scored_set, hardware.device)
    return metrics


def _trainer(
    place: Run,
    experiment: Experiment,
    hardware: Hardware,
    start: Start,
    watch: Watch,
    devices: int,
    num_nodes: int,
    strategy: str,
    trackers: Trackers,
    config: Mapping[str, Any],
    progress: bool,
    val_set: Dataset[Any],
) -> pl.Trainer:
    e = experiment
    loggers: list[Any] = []
    if _rank() == 0:
        loggers = [
            RunLogger(MetricsFile(place.metrics_file, start.step if start.checkpoint else None)),
            TensorBoardLogger(place.path, name="", version="tensorboard"),
            *trackers.open(config),
        ]
    callbacks: list[pl.Callback] = [Checkpoints(place, e, watch), Panels(e, val_set)]
    if start.longer:
        callbacks.append(FollowSchedule())
    if progress:
        callbacks.append(Progress(e.steps, start.step))
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision="bf16-mixed" if hardware.precision == "bf16" else "32-true",
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


def _record(
    place: Run, e: Experiment, hardware: Hardware, splits: Mapping[str, Any], start: Start
) -> None:
    """Writes env.json; `splits`: what is trained on, reported ("val") and selected by, if any."""
    described = {split: data.describe() for split, data in splits.items()}
    write_json(
        place.path / "env.json",
        environment(str(hardware.device))
        | {
            "data": described,
            "accelerator": hardware.accelerator,
            "precision": hardware.precision,
            "protocol": e.protocol,
            "select": e.select,
            **e.notes,
            **({"lengths": start.lengths} if start.lengths else {}),
        },
    )


def description(
    e: Experiment,
    config: Mapping[str, Any] | None = None,
    camera: TrainingCamera | None = None,
    value_range: str = "auto",
    feeding: Feeding | None = None,
) -> dict[str, Any]:
    """The run's model.json.

    Args:
        config: as in config.yaml.
        camera: of training, see `training_camera`.
        value_range: of the training images, see `crosstask.media.value_range`.
        feeding: how images were brought to the network's input.

    Raises:
        UnrecordedNetwork: what would be trained could not be loaded.
    """
    facts = {
        "size": list(e.size),
        "protocol": e.protocol,
        "value_range": value_range,
        "feeding": None if feeding is None else feeding.to_spec(),
        "training_camera": None if camera is None else camera.to_spec(),
        **e.regime.model_facts(),
    }
    return checkpoints.describe(e.regime.network, e.tasks, config, **facts)


def trained_range(train_set: Any) -> str:
    """The stored values that are black and white in the training images, for prediction.

    Of two domains the target's count. Images of a mixture with several ranges cannot be told apart
    later: `auto` then.
    """
    found: set[str] = set()

    def look(record: Any) -> None:
        if isinstance(record, Mapping):
            if isinstance(record.get("value_range"), str):
                found.add(record["value_range"])
            look([value for value in record.values() if isinstance(value, (Mapping, list))])
        elif isinstance(record, list):
            for part in record:
                look(part)

    record = train_set.describe()
    look(record.get("target", record) if len(train_set.domains) == 2 else record)
    if len(found) > 1:
        warnings.warn(
            f"the training images have several value ranges ({', '.join(sorted(found))}); prediction "
            "will read images by the range of their data type",
            stacklevel=2,
        )
    return found.pop() if len(found) == 1 else "auto"


def quieten() -> None:
    """Lightning's advertisements and two warnings about what this program does on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The stream itself starts at the right position, see crosstask.data.loading.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Frozen parts are in eval mode on purpose.
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")


def _rank() -> int:
    import os

    known = [os.environ[k] for k in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if k in os.environ]
    return int(known[0]) if known else 0


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def take_over_inputs(
    regime: nn.Module, companions: Mapping[str, nn.Module], description: Mapping[str, Any]
) -> None:
    """Normalise images as a model.json says, in all networks whose weights are loaded from elsewhere.

    Args:
        companions: of the regime, by name.
    """
    take_over_input(regime, description["model"])
    pose = companions.get("pose_network")
    known = description.get("pose_network")
    if isinstance(pose, PoseNetwork | CorrelationPoseNetwork) and isinstance(known, Mapping):
        pose.normalize_with(known.get("normalization", "imagenet"))


def restore_companions(regime: Regime, checkpoint: Path, strict: bool = True) -> list[str]:
    """Loads the regime's `companions` from a checkpoint; returns the names that were left out.

    Args:
        strict: raise where one does not fit; else take over what fits.
    """
    left_out: list[str] = []
    companions = regime.companions()
    state = checkpoints.read_checkpoint(checkpoint)["state_dict"] if companions else {}
    for name, module in companions.items():
        own = {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(f"{name}.")}
        if strict:
            checkpoints.load_weights(module, own, f"{name} of {checkpoint}")
        elif own:
            left_out += [f"{name}.{k}" for k in checkpoints.copy_matching(module, own)]
        else:
            left_out.append(name)
    return left_out


def initialise_from(regime: Regime, run: Path | str) -> list[str]:
    """Copies the weights of another run or model wherever they fit; warns about what was left out.

    Of another architecture the encoder alone may fit; the warning then begins with that.
    """
    run = checkpoints.local_copy(run)
    description, weights = checkpoints.find(run)
    left_out = checkpoints.copy_matching(regime.network, weights)
    own = regime.network.state_dict()
    taken = [name for name in own if name not in left_out]
    # Biases of predictions fit everywhere and carry nothing.
    outside = [n for n in taken if not n.startswith("encoder.") and own[n].ndim > 1]
    only = "" if outside else "encoder only: "
    if not any(name.startswith("encoder.") for name in left_out):
        take_over_input(regime, description["model"])
    place = Path(run)
    checkpoint = place if place.is_file() else Run(place).checkpoint()
    if checkpoint.is_file():
        left_out += restore_companions(regime, checkpoint, strict=False)
    if left_out:
        shown = ", ".join(left_out[:6]) + (
            f" and {len(left_out) - 6} more" if len(left_out) > 6 else ""
        )
        warnings.warn(
            f"`--init-from {run}`: {only}{len(taken)} of {len(own)} tensors taken over; not taken over "
            f"(other size or absent): {shown}",
            stacklevel=2,
        )
    return left_out
