"""From settings, tasks and data to a supervised experiment; the other regimes share its parts."""

from collections.abc import Callable, Mapping
from typing import Any

from crosstask.balancing import create_balancer
from crosstask.data import transforms
from crosstask.engine.experiment import Data, Experiment
from crosstask.models import create_model
from crosstask.models.registry import find_architecture
from crosstask.recipes.options import choose_tasks, needed_root, parse_names, parse_size
from crosstask.recipes.published import as_published, with_published_losses
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    NetworkSettings,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)
from crosstask.regimes.optimization import optimizer_settings
from crosstask.regimes.regime import Regime
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task


@recipe
def supervised_experiment(
    *,
    tasks: tuple[Task, ...],
    train_data: Data,
    val_data: Data,
    size: str = "128x256",
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = TrainingSettings(),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> Experiment:
    """A supervised experiment from tasks and data.

    Args:
        tasks: ordered tasks.
        train_data: opens the training set.
        val_data: opens the validation set.
    """
    name = network.name(tasks)
    regime = Supervised(
        build_network(tasks, network, training.seed),
        tasks,
        create_balancer(training.balancing, tasks),
        optimizer_settings(training.optimizer, name, training.lr, training.encoder_lr),
        levels=levels_of(supervision, name),  # type: ignore[arg-type]
        freeze=parse_names(training.freeze or ""),
        **regime_options(training),
    )
    return make_experiment(
        regime,
        skipping_bad(train_data) if training.skip_bad else train_data,
        val_data,
        size,
        training,
        protocol=supervision.protocol,
    )


@recipe
def reader_experiment(
    reader: Callable[..., Any],
    available: Mapping[str, Task],
    *,
    name: str,
    tasks: str,
    reader_options: dict[str, Any] | None = None,
    usual: tuple[int, int] | None = None,
    images: ReaderSettings = ReaderSettings(),
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = TrainingSettings(),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> Experiment:
    """A supervised experiment on a dataset on disk.

    Args:
        reader: the dataset's class.
        available: the tasks that it teaches.
        name: of the dataset, for messages.
        reader_options: further arguments of the reader.
        usual: steps and images a batch where `training` leaves them open; what SCA-MTL's family
            publishes on this dataset is then taken for its members.
    """
    chosen = choose_tasks(tasks, available)
    if usual is not None:
        frames = reader.official["train"]  # type: ignore[attr-defined]
        published = with_published_losses(name, network.name(chosen), available)
        network, training = as_published(
            name, chosen, network, training, frames=frames, usual=usual
        )
        chosen = choose_tasks(tasks, published)
    modalities = tuple(task.name for task in chosen)
    size = parse_size(images.size)
    further = {
        **(reader_options or {}),
        "protocol": supervision.protocol,
        "value_range": images.value_range,
    }

    def train() -> Any:
        transform = transforms.training(
            size,
            resize=None if images.resize is None else parse_size(images.resize),
            scale=_zoom(images),
            flip=images.flip,
            jitter=images.jitter,
        )
        shares = {"subset": images.subset, "labelled": images.labelled}
        place = needed_root(images.root, name)
        return reader(place, "train", modalities, transform, **{**shares, **further})

    def val() -> Any:
        where: Any = images.score_at
        transform = transforms.evaluation(size, targets=where)
        return reader(needed_root(images.root, name), "val", modalities, transform, **further)

    return supervised_experiment(
        tasks=chosen,
        train_data=train,
        val_data=val,
        size=images.size,
        network=network,
        training=training,
        supervision=supervision,
    )


def _zoom(images: ReaderSettings) -> tuple[float, float] | None:
    if images.zoom_min is None and images.zoom_max is None:
        return None
    return (images.zoom_min or 1.0, images.zoom_max or 1.0)


def build_network(tasks: tuple[Task, ...], settings: NetworkSettings, seed: int = 0) -> Any:
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


def levels_of(supervision: SupervisionSettings, architecture: str) -> str:
    """How losses of levels combine: as asked, or as in the architecture's paper."""
    if supervision.levels != "auto":
        return supervision.levels
    return find_architecture(architecture).levels


def regime_options(training: TrainingSettings) -> dict[str, Any]:
    """What every regime takes."""
    return {
        "steps": training.length()[0],
        "ema": training.ema,
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
        from crosstask.engine.training import initialise_from

        initialise_from(regime, training.init_from)
    steps, batch_size = training.length()
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
        workers=training.workers,
        size=parse_size(size),
        **further,
    )


def skipping_bad(opened: Data) -> Data:
    """The same data; samples that cannot be read are counted and replaced."""
    from crosstask.data.combine.skip import SkipBad

    return lambda: SkipBad(opened())
