"""What a run writes once it is trained: metrics.json and panel.png."""

import shutil
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import Dataset

from crosstask.engine import checkpoints, places
from crosstask.engine.callbacks.checkpoints import Checkpoints
from crosstask.engine.callbacks.panels import Panels
from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import Hardware
from crosstask.engine.runs import Run
from crosstask.engine.threads import choose_workers
from crosstask.engine.warm_start import restore_companions
from crosstask.engine.weights import load_weights
from crosstask.evaluation.evaluate import evaluate_constants
from crosstask.media.files import atomic_path, write_json


def consider_the_end(
    trainer: pl.Trainer, place: Run, experiment: Experiment, hardware: Hardware, val_set: Any
) -> None:
    """The last step is a candidate for the best checkpoint, also between two validations."""
    saved = next(c for c in trainer.callbacks if isinstance(c, Checkpoints))  # type: ignore[attr-defined]
    if saved.validated_step == trainer.global_step:
        return
    metrics = _final_metrics(experiment, hardware, val_set)
    if not place.best.is_file() or metrics["score"] > saved.best:
        with atomic_path(place.best) as temporary:
            shutil.copyfile(place.last, temporary)


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
    _, weights = places.find(scored)
    load_weights(network, weights, str(scored))
    restore_companions(experiment.regime, scored)
    metrics = _final_metrics(experiment, hardware, scored_set)
    metrics |= evaluate_constants(experiment.tasks, train_set, scored_set)
    metrics |= experiment.regime.trivial_metrics(train_set, scored_set)
    metrics |= checkpoints.scored_facts(scored, place.rule())
    write_json(place.path / "metrics.json", metrics)
    Panels.write(place.path / "panel.png", experiment, network, scored_set, hardware.device)
    experiment.regime.write_images(place.path, scored_set, hardware.device)
    return metrics
