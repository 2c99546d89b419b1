"""The parts that every supervised recipe puts together in the same way."""

from collections.abc import Callable, Mapping
from typing import Any

from crosstask.balancing import create_balancer
from crosstask.engine.experiment import Data, Experiment
from crosstask.engine.threads import Workers
from crosstask.models import create_model
from crosstask.models.registry import find_architecture
from crosstask.recipes.options import choose_tasks, needed_root, parse_names, parse_size
from crosstask.regimes.optimization import optimizer_settings
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task


def build_network(
    tasks: tuple[Task, ...],
    architecture: str = "densemtl",
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    normalization: str = "imagenet",
    options: dict[str, Any] | None = None,
    seed: int = 0,
) -> Any:
    """The network, with weights that depend on `seed` alone (the caller's random state is kept)."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_model(
            architecture,
            tasks,
            encoder=encoder,
            pretrained=pretrained,
            width=width,
            normalization=normalization,
            **(_depth_bins(architecture, tasks) | (options or {})),
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


def supervised_experiment(
    *,
    tasks: tuple[Task, ...],
    train_data: Data,
    val_data: Data,
    architecture: str = "densemtl",
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    options: dict[str, Any] | None = None,
    size: str = "128x256",
    steps: int = 40_000,
    batch_size: int = 2,
    accumulate: int = 1,
    seed: int = 0,
    balancing: str = "paper",
    optimizer: str = "paper",
    lr: float | None = None,
    encoder_lr: float | None = None,
    levels: str = "auto",
    ema: float = 0.0,
    freeze: str = "",
    clip: float | None = 10.0,
    val_every: int = 1000,
    val_batch_size: int = 4,
    workers: Workers = "auto",
    channels_last: bool = True,
    init_from: str | None = None,
    skip_bad: bool = False,
    protocol: str = "correct",
) -> Experiment:
    """A supervised experiment from tasks and data.

    Args:
        tasks: ordered tasks.
        train_data: opens the training set.
        val_data: opens the validation set.
        architecture: see `crosstask models`.
        encoder: a timm name; the architecture's own if left out.
        pretrained: start from ImageNet weights (downloaded once by timm).
        width: factor on decoder widths.
        options: options of the architecture, for example `--options.fusion concat`.
        size: HEIGHTxWIDTH of training images.
        steps: optimiser steps.
        batch_size: images a batch and process.
        accumulate: batches of one optimiser step.
        seed: of weights, order and augmentation.
        balancing: paper, equal, uncertainty, gradnorm, mgda, or a method of TorchJD.
        optimizer: paper (of the architecture's own paper; DenseMTL's for its ablations), matched
            (one AdamW for every architecture), adam, adamw, sgd.
        lr: rate of decoders and exchanges (the encoder's keeps its ratio).
        encoder_lr: rate of the encoder.
        levels: how losses of supervised levels combine: auto, mean, sum, last.
        ema: decay of the moving average of the weights; 0 is off.
        freeze: "encoder", "norms" or both with a comma.
        clip: global gradient norm.
        val_every: optimiser steps between validations.
        val_batch_size: images of a validation batch.
        workers: loader processes; auto chooses from the cores that this process may use.
        channels_last: memory layout of convolutions.
        init_from: a run whose weights are taken over where they fit.
        skip_bad: count and report unreadable training samples instead of stopping.
        protocol: correct or released.
    """
    network = build_network(
        tasks, architecture, encoder, pretrained, width, "imagenet", options, seed
    )
    if levels == "auto":
        levels = find_architecture(architecture).levels
    regime = Supervised(
        network,
        tasks,
        create_balancer(balancing, tasks),
        optimizer_settings(optimizer, architecture, lr, encoder_lr),
        steps=steps,
        ema=ema,
        freeze=parse_names(freeze),
        channels_last=channels_last,
        seed=seed,
        levels=levels,  # type: ignore[arg-type]
    )
    if init_from is not None:
        from crosstask.engine.training import initialise_from

        initialise_from(regime, init_from)
    return Experiment(
        regime=regime,
        train_data=skipping_bad(train_data) if skip_bad else train_data,
        val_data=val_data,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        val_every=val_every,
        val_batch_size=val_batch_size,
        clip=clip,
        seed=seed,
        workers=workers,
        size=parse_size(size),
        protocol=protocol,
    )


def skipping_bad(opened: Data) -> Data:
    """The same data; samples that cannot be read are counted and replaced."""
    from crosstask.data.combine.skip import SkipBad

    return lambda: SkipBad(opened())


def reader_experiment(
    reader: Callable[..., Any],
    available: Mapping[str, Task],
    *,
    name: str,
    root: str | None,
    tasks: str,
    size: str = "512x1024",
    resize: str | None = None,
    zoom_min: float | None = None,
    zoom_max: float | None = None,
    flip: float = 0.5,
    jitter: float = 0.0,
    score_at: str = "resized",
    subset: float | None = None,
    labelled: float | None = None,
    value_range: str = "auto",
    reader_options: dict[str, Any] | None = None,
    protocol: str = "correct",
    **options: Any,
) -> Experiment:
    """A supervised experiment on a dataset on disk.

    Args:
        reader: the dataset's class.
        available: the tasks that it teaches.
        name: of the dataset, for messages.
        root: folder of the dataset.
        tasks: comma-separated, ordered.
        size: HEIGHTxWIDTH of training images; validation images are resized to it.
        resize: HEIGHTxWIDTH to which images are resized before a random crop of `size`.
        zoom_min: least random zoom; left out, as in the paper, images are resized as a whole.
        zoom_max: largest random zoom.
        flip: probability of a mirror image.
        jitter: probability of changed colours.
        score_at: "resized" scores at `size` as the paper does, "native" at the labels' own size.
        subset: use only this share of the training frames.
        labelled: share of the training frames that keep their labels.
        value_range: stored values of the images that are black and white, such as 0..4095 of a
            12-bit camera; auto is the range of the data type. Prediction does the same.
        reader_options: further arguments of the reader.
        protocol: correct or released.
    """
    from crosstask.data import transforms

    chosen = choose_tasks(tasks, available)
    modalities = tuple(task.name for task in chosen)
    height_width = parse_size(size)
    further = dict(reader_options or {}) | {"protocol": protocol, "value_range": value_range}

    def train() -> Any:
        transform = transforms.training(
            height_width,
            resize=None if resize is None else parse_size(resize),
            scale=None
            if zoom_min is None and zoom_max is None
            else (zoom_min or 1.0, zoom_max or 1.0),
            flip=flip,
            jitter=jitter,
        )
        return reader(
            needed_root(root, name),
            "train",
            modalities,
            transform,
            **({"subset": subset, "labelled": labelled} | further),
        )

    def val() -> Any:
        where: Any = score_at
        transform = transforms.evaluation(height_width, targets=where)
        return reader(needed_root(root, name), "val", modalities, transform, **further)

    return supervised_experiment(
        tasks=chosen, train_data=train, val_data=val, size=size, protocol=protocol, **options
    )
