"""What the experiments of all regimes are made of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crosstask.data import transforms
from crosstask.data.transforms import FixedViews, JointTransform
from crosstask.engine.experiment import Data, Experiment
from crosstask.engine.stored_features import check_cache
from crosstask.models import create_model
from crosstask.models.registry import find_architecture
from crosstask.recipes.options import parse_size
from crosstask.recipes.settings import NetworkSettings, SupervisionSettings, TrainingSettings
from crosstask.regimes.regime import Regime
from crosstask.tasks import Task


def build_network(
    tasks: tuple[Task, ...], settings: NetworkSettings, seed: int = 0, in_channels: int = 3
) -> Any:
    """The network, with weights that depend on `seed` alone (the caller's random state is kept)."""
    import torch

    name = settings.name(tasks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_model(
            name,
            tasks,
            encoder=settings.encoder,
            encoder_weights=settings.weights(),
            width=settings.width,
            in_channels=in_channels,
            **(_depth_bins(name, tasks) | (settings.options or {})),
        )


def _depth_bins(architecture: str, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """The range of an architecture's depth bins: what the task's is, from its nearest bin on."""
    nearest = find_architecture(architecture).nearest_bin
    labelled = [task.label_range for task in tasks if not task.learns_from_video]
    ranges = [ends for ends in labelled if ends is not None]
    if nearest is None or not ranges:
        return {}
    near, far = ranges[0]
    return {"near": max(near, nearest), "far": far}


def training_transform(
    training: TrainingSettings, size: tuple[int, int], tasks: Sequence[Task], **options: Any
) -> JointTransform | FixedViews:
    """The augmentation of a recipe, or, where features are stored, the fixed views of it.

    A zoom divides depth by itself where a task learns metres of one camera: to it, what looks larger is
    nearer (as the NYUD literature does). A task that knows the camera keeps metres, its focal length grows.

    Args:
        options: of `crosstask.data.transforms.training`.
    """
    one_camera = any(task.holds_for_one_camera for task in tasks)
    random = transforms.training(size, depth="divide" if one_camera else "keep", **options)
    if training.cache_features is None:
        return random
    same = {name: options[name] for name in ("fit",) if name in options}
    return FixedViews(transforms.evaluation(size, **same), random, training.cache_views or 1)


def levels_of(supervision: SupervisionSettings, architecture: str) -> str:
    """How losses of levels combine: as asked, or as in the architecture's paper."""
    if supervision.levels != "auto":
        return supervision.levels
    return find_architecture(architecture).levels


def with_losses(tasks: tuple[Task, ...], supervision: SupervisionSettings) -> tuple[Task, ...]:
    """The tasks with the losses that are asked for; class weights come when training begins.

    Raises:
        ValueError: a loss of a task that is not among them.
    """
    weights = supervision.class_weights
    asked: dict[str, Any] = {
        "segmentation_loss": supervision.segmentation_loss,
        "class_weights": None if weights in ("auto", "none") else weights,
        "edge_weight": supervision.edge_weight,
    }
    for name, value in asked.items():
        if value is not None and not any(name in task.loss_options for task in tasks):
            raise ValueError(
                f"`{name}` is {value!r}, but none of the tasks ({', '.join(t.name for t in tasks)}) has "
                "that loss; leave it out, or add the task to `--tasks`"
            )
    now = {k: v for k, v in asked.items() if v is not None and k != "class_weights"}
    changes = [
        {field: now[k] for k, field in task.loss_options.items() if k in now} for task in tasks
    ]
    return tuple(
        replace(task, **change) if change else task
        for task, change in zip(tasks, changes, strict=True)
    )


def regime_options(training: TrainingSettings) -> dict[str, Any]:
    """What every regime takes."""
    return {
        "steps": training.length()[0],
        "ema": training.ema,
        "unfreeze_at": training.unfreeze_at,
        "channels_last": training.channels_last,
        "seed": training.seed,
    }


def make_experiment(
    regime: Regime,
    train_data: Data,
    val_data: Data,
    size: str,
    training: TrainingSettings,
    **further: Any,
) -> Experiment:
    """The experiment of a regime, which starts from another run's weights where that is asked for.

    Args:
        further: fields of `Experiment`.
    """
    if training.init_from is not None:
        from crosstask.engine.warm_start import initialise_from

        initialise_from(regime, training.init_from)
    steps, batch_size = training.length()
    if training.cache_features is not None:
        check_cache(regime)
    return Experiment(
        regime=regime,
        train_data=train_data,
        val_data=val_data,
        steps=steps,
        batch_size=batch_size,
        accumulate=training.accumulate,
        val_every=training.val_every,
        val_batch_size=training.val_batch_size,
        clip=training.clip,
        seed=training.seed,
        cache_features=training.cache_features,
        cache_views=training.cache_views or 1,
        select=training.select,
        workers=training.workers,
        size=parse_size(size),
        **further,
    )


def skipping_bad(opened: Data) -> Data:
    """The same data; samples that cannot be read are counted and replaced."""
    from crosstask.data.combine.skip import SkipBad

    return lambda: SkipBad(opened())
