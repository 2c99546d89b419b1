"""From settings, tasks and data to a supervised experiment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crosstask.balancing import create_balancer
from crosstask.data import transforms
from crosstask.data.feeding import RGB
from crosstask.data.shards import open_split
from crosstask.engine.experiment import Data, Experiment
from crosstask.recipes.building import (
    build_network,
    levels_of,
    make_experiment,
    regime_options,
    skipping_bad,
    training_transform,
    with_losses,
)
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
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task


@recipe
def supervised_experiment(
    *,
    tasks: tuple[Task, ...],
    train_data: Data,
    val_data: Data,
    reported_data: Data | None = None,
    size: str = "128x256",
    in_channels: int = 3,
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = TrainingSettings(),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> Experiment:
    """A supervised experiment from tasks and data.

    Args:
        tasks: ordered tasks.
        train_data: opens the training set.
        val_data: opens the validation set.
        reported_data: opens what the final scores are from, see `Experiment`.
        in_channels: of the images.
    """
    name, tasks = network.name(tasks), with_losses(supervision.of(tasks), supervision)
    regime = Supervised(
        build_network(tasks, network, training.seed, in_channels),
        tasks,
        create_balancer(training.balancing, tasks),
        optimizer_settings(training.optimizer, name, training.lr, training.encoder_lr),
        levels=levels_of(supervision, name),  # type: ignore[arg-type]
        freeze=parse_names(training.freeze or "", "freeze"),
        **regime_options(training),
    )
    return make_experiment(
        regime,
        skipping_bad(train_data) if training.skip_bad else train_data,
        val_data,
        size,
        training,
        protocol=supervision.protocol,
        class_weights=supervision.weights_rule(tasks),
        reported_data=reported_data,
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
    channels: Sequence[str] = RGB,
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
        channels: names of its images' channels.
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
    further = {
        **_reader_options(reader_options or {}, images),
        "protocol": supervision.protocol,
        "value_range": images.value_range,
    }
    train, val = _splits(reader, name, chosen, images, training, channels, further)
    return supervised_experiment(
        tasks=chosen,
        train_data=train,
        val_data=val,
        size=images.size,
        in_channels=len(channels),
        network=network,
        training=training,
        supervision=supervision,
    )


def _reader_options(own: dict[str, Any], images: ReaderSettings) -> dict[str, Any]:
    """The recipe's arguments of the reader and those of the command line."""
    asked = images.reader_options or {}
    taken = [key for key in asked if key in {**own, "root": "", "protocol": ""} and key != "far"]
    if taken:
        raise ValueError(f"`reader_options` has {taken[0]!r}; give `{taken[0]}` itself")
    return {**own, **asked}


def _splits(
    reader: Callable[..., Any],
    name: str,
    tasks: Sequence[Task],
    images: ReaderSettings,
    training: TrainingSettings,
    channels: Sequence[str],
    further: Mapping[str, Any],
) -> tuple[Data, Data]:
    """What opens the training split, with its augmentation, and the validation split."""
    modalities = tuple(task.name for task in tasks)
    size = parse_size(images.size)
    resize = None if images.resize is None else parse_size(images.resize)

    def train() -> Any:
        transform = training_transform(
            training,
            size,
            tasks,
            fit=images.fit,
            resize=resize,
            scale=_zoom(images),
            flip=images.flip,
            jitter=images.jitter,
            channels=channels,
            rotation=images.rotation,
            most=images.crop_most,
        )
        shares = {"subset": images.subset, "labelled": images.labelled}
        place = needed_root(images.root, name)
        return open_split(reader, place, "train", modalities, transform, **{**shares, **further})

    def val() -> Any:
        where: Any = images.score_at
        # What training cuts windows from; the published recipes squeeze validation images to `size`.
        whole = resize if resize is not None and images.fit == "keep" else size
        transform = transforms.evaluation(whole, fit=images.fit, targets=where)
        place = needed_root(images.root, name)
        return open_split(reader, place, "val", modalities, transform, **further)

    return train, val


def _zoom(images: ReaderSettings) -> tuple[float, float] | None:
    if images.zoom_min is None and images.zoom_max is None:
        return None
    return (images.zoom_min or 1.0, images.zoom_max or 1.0)
