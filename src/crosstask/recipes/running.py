"""`crosstask.train` and `crosstask.evaluate`: what the commands of these names run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from crosstask.engine.experiment import Experiment
from crosstask.engine.hardware import choose
from crosstask.engine.threads import choose_processes, choose_workers
from crosstask.engine.training import train as train_experiment
from crosstask.evaluation.evaluate import evaluate_constants
from crosstask.evaluation.extras import Extras
from crosstask.evaluation.sliding_window import SlidingWindow
from crosstask.media.progress import QUIET, Progress
from crosstask.plugins.trust import Trust
from crosstask.recipes.options import parse_size
from crosstask.recipes.reopen import begin, open_run
from crosstask.recipes.resolving import resolve


def train(
    experiment: str | Experiment,
    run: Path | str,
    *,
    resume: bool = False,
    accelerator: str = "auto",
    precision: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    trackers: Sequence[str] = (),
    progress: bool = True,
    compile: bool = False,
    recompute: bool = False,
    cuda_graphs: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Trains a recipe or an experiment into a run directory.

        crosstask.train("procedural.supervised", run="runs/demo", steps=200, encoder="resnet10t")

    Args:
        experiment: a recipe's name, `path/to/file.py:function`, or what such a function returns. Of an
            experiment the run directory holds no recipe; `evaluate` then needs it again.
        run: the run directory.
        resume: continue from checkpoints/last.ckpt.
        accelerator, precision, devices, num_nodes, strategy, trackers, progress, compile, recompute,
            cuda_graphs: see `crosstask.engine.training.train`.
        options: of the recipe; `crosstask train RECIPE --help` lists them.

    Returns:
        The content of metrics.json.

    Raises:
        ValueError: unknown recipe or option, or a value that does not fit.
        RunError: the directory is in use, holds another run, or cannot be resumed.
    """
    config: dict[str, Any] = {}
    if isinstance(experiment, str):
        function, resolved = resolve(experiment, options)
        config = {"recipe": experiment, **resolved}
        made = begin(function, resolved, run, resume)
    elif options:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in options)}: options belong to a recipe's name; an "
            "experiment is complete, so set them where it is made"
        )
    else:
        made = experiment
    return train_experiment(
        made,
        run,
        config=config,
        resume=resume,
        accelerator=accelerator,
        precision=precision,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        trackers=tuple(trackers),
        progress=progress,
        compile=compile,
        recompute=recompute,
        cuda_graphs=cuda_graphs,
    )


def evaluate(
    run: Path | str,
    *,
    experiment: Experiment | None = None,
    root: str | None = None,
    checkpoint: str | None = None,
    trust: Trust = False,
    **options: Any,
) -> dict[str, float]:
    """Scores a run on the split that it reports, or another.

        crosstask.evaluate("runs/demo")["score"]

    Args:
        run: the run directory.
        experiment: what was trained, if it was no recipe.
        root: where the dataset lies now, if not where it was in training.
        checkpoint: "best" or "last"; None is the one that was scored.
        trust: True, or Python files outside of the package (recipe, architecture ...) that may run.
        options: see `score`.

    Returns:
        Metrics as in metrics.json.

    Raises:
        ValueError, RunError, ModelFileError: no run, no checkpoint, or options that do not fit.
    """
    return score(open_run(run, checkpoint, root, experiment, trust), **options)


def score(
    experiment: Experiment,
    *,
    split: str | None = None,
    device: str = "auto",
    precision: str = "32",
    batch_size: int | None = None,
    flip: bool = False,
    window: str | tuple[int, int] | None = None,
    boundaries: float | None = None,
    nms: bool = False,
    camera_height: float | None = None,
    submission: Path | str | None = None,
    progress: Progress = QUIET,
) -> dict[str, float]:
    """The metrics of an experiment's network as it is, those of the trivial predictors beside them.

    Args:
        experiment: see `open_run`.
        split: of a dataset on disk; the one that the run reports if left out.
        device: auto, cpu, cuda or mps.
        precision: 32, bf16 or auto.
        batch_size: the experiment's own if left out.
        flip: average with the mirrored images.
        window: (height, width) or "HEIGHTxWIDTH": images at full size through overlapping windows.
        boundaries, nms, camera_height, submission: see `crosstask.evaluation.extras.Extras`; boundaries
            are matched in as many processes as there are cores.
        progress: told how many images are scored.
    """
    hardware = choose(device, precision)
    val = experiment.scored_data()
    if split:
        val = val.of_split(split)
    wrap = None
    if window:
        size = parse_size(window)
        wrap = lambda inner: SlidingWindow(inner, size)  # noqa: E731
        val.use_native_size()
    extras = Extras(
        experiment.tasks,
        val,
        boundaries=boundaries,
        nms=nms,
        camera_height=camera_height,
        submission=submission,
        processes=choose_processes("auto", len(val), worth=4),
    )
    low = torch.autocast(hardware.device.type, torch.bfloat16, enabled=hardware.precision == "bf16")
    with extras:
        with low:
            metrics = experiment.regime.final_metrics(
                val,
                batch_size=batch_size or experiment.val_batch_size,
                workers=choose_workers(experiment.workers, hardware.accelerator),
                device=hardware.device,
                flip=flip,
                listener=extras,
                wrap=wrap,
                progress=lambda batches: progress.each(batches, len(batches), "evaluate"),
            )
        metrics |= extras.compute(progress)
    train_set = experiment.train_data()
    with progress.during("score the trivial predictors"):
        metrics |= evaluate_constants(experiment.tasks, train_set, val)
    return metrics | experiment.regime.trivial_metrics(train_set, val) | experiment.scored
