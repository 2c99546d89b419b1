"""The parts that every adaptation recipe puts together in the same way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from torch.utils.data import Dataset

from crosstask.balancing import create_balancer
from crosstask.data.combine.pairs import DomainPairs
from crosstask.engine.experiment import Data, Experiment
from crosstask.engine.threads import Workers
from crosstask.recipes.building import build_network, skipping_bad
from crosstask.recipes.options import parse_names, parse_size
from crosstask.regimes.adaptation.alignment import AlignmentSettings
from crosstask.regimes.adaptation.regime import METHODS, Adaptation
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.regimes.optimization import OptimizerSettings, optimizer_settings
from crosstask.tasks import Task

Open = Callable[[tuple[str, ...]], Dataset[Any]]


def adaptation_experiment(
    *,
    tasks: tuple[Task, ...],
    source: Open,
    target: Open,
    val_data: Data,
    method: str = "both",
    adversarial_weight: float = 0.005,
    adversarial_start: int = 0,
    adversarial_lr: float = 1e-4,
    discriminator_width: int = 64,
    pseudo_weight: float = 1.0,
    pseudo_start: int = 0,
    pseudo_share: float = 0.2,
    mixing: Literal["class", "none"] = "class",
    mixed_jitter: float = 0.3,
    match_colors: bool = False,
    match_noise: bool = False,
    teacher_decay: float = 0.999,
    ema: float = 0.0,
    architecture: str = "densemtl",
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    options: dict[str, Any] | None = None,
    size: str = "512x1024",
    steps: int = 90_000,
    batch_size: int = 2,
    accumulate: int = 1,
    seed: int = 0,
    balancing: str = "paper",
    optimizer: str = "paper",
    lr: float | None = None,
    encoder_lr: float | None = None,
    levels: Literal["mean", "sum", "last"] = "mean",
    freeze: str = "",
    clip: float | None = 10.0,
    val_every: int = 2500,
    val_batch_size: int = 4,
    workers: Workers = "auto",
    channels_last: bool = True,
    init_from: str | None = None,
    skip_bad: bool = False,
    protocol: str = "correct",
    expected: str = "",
) -> Experiment:
    """An adaptation experiment from tasks and the two domains.

    The last checkpoint is the one that counts: choosing the best by a score on target labels would
    be training with them.

    Args:
        tasks: ordered tasks.
        source: opens the labelled source set with the modalities given to it.
        target: opens the target's training set; without modalities except for the oracle.
        val_data: opens the target's validation set.
        method: source_only, oracle (trained on target labels), adversarial, self_training, both.
        adversarial_weight: of the adversarial loss (mean over discriminators).
        adversarial_start: optimiser step from which on outputs are aligned.
        adversarial_lr: rate of the discriminators.
        discriminator_width: channels after a discriminator's first convolution.
        pseudo_weight: of the loss on mixed target images.
        pseudo_start: optimiser step from which on the teacher's labels are used.
        pseudo_share: of the pixels of each predicted class (of all pixels, for tasks without
            classes) the most confident so many are learned from even below the threshold.
        mixing: class (paste half of the source's classes) or none.
        mixed_jitter: strength of random colour changes on mixed images.
        match_colors: give source images the colour statistics of target images.
        match_noise: add noise to source images until they are as noisy as target images.
        teacher_decay: decay of the teacher, a moving average of the network.
        ema: decay of a moving average of the weights that is validated and saved; 0 is off.
        architecture: see `crosstask models`.
        encoder: a timm name; the architecture's own if left out.
        pretrained: start from ImageNet weights (downloaded once by timm).
        width: factor on decoder widths.
        options: options of the architecture, for example `--options.fusion concat`.
        size: HEIGHTxWIDTH of training images.
        steps: optimiser steps.
        batch_size: images of each domain a batch and process.
        accumulate: batches of one optimiser step.
        seed: of weights, order and augmentation.
        balancing: paper, equal, uncertainty, gradnorm, mgda, or a method of TorchJD.
        optimizer: paper (Adam 2.5e-4, encoder 1.5e-5, constant), matched, adam, adamw.
        lr: rate of decoders and exchanges (the encoder's keeps its ratio).
        encoder_lr: rate of the encoder.
        levels: how losses of supervised levels combine: mean, sum, last.
        freeze: "encoder", "norms" or both with a comma.
        clip: gradient norm, of the network and of the discriminators each on its own.
        val_every: optimiser steps between validations.
        val_batch_size: images of a validation batch.
        workers: loader processes; auto chooses from the cores that this process may use.
        channels_last: memory layout of convolutions.
        init_from: a run whose weights are taken over where they fit.
        skip_bad: count and report unreadable training samples, of both domains, instead of stopping.
        protocol: correct or released.
        expected: what this recipe reaches, for `crosstask info`.
    """
    if method not in METHODS:
        raise ValueError(f"`method` is {method!r}; expected one of {', '.join(METHODS)}")
    network = build_network(
        tasks, architecture, encoder, pretrained, width, "imagenet", options, seed
    )
    regime = Adaptation(
        network,
        tasks,
        create_balancer(balancing, tasks),
        adaptation_optimizer(optimizer, architecture, lr, encoder_lr),
        steps=steps,
        ema=ema,
        freeze=parse_names(freeze),
        channels_last=channels_last,
        seed=seed,
        levels=levels,
        method=method,
        alignment=AlignmentSettings(
            weight=adversarial_weight,
            start=adversarial_start,
            lr=adversarial_lr,
            width=discriminator_width,
        ),
        self_training=SelfTrainingSettings(
            weight=pseudo_weight,
            start=pseudo_start,
            decay=teacher_decay,
            mixing=mixing,
            least_share=pseudo_share,
            jitter=mixed_jitter,
        ),
        match_colors=match_colors,
        match_noise=match_noise,
    )
    if init_from is not None:
        from crosstask.engine.training import initialise_from

        initialise_from(regime, init_from)
    modalities = tuple(task.name for task in tasks)

    def domain(opened: Data) -> Dataset[Any]:
        return skipping_bad(opened)() if skip_bad else opened()

    def train_data() -> Dataset[Any]:
        if method == "oracle":
            return domain(lambda: target(modalities))
        return DomainPairs(domain(lambda: source(modalities)), domain(lambda: target(())))

    return Experiment(
        regime=regime,
        train_data=train_data,
        val_data=val_data,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        val_every=min(val_every, steps),
        val_batch_size=val_batch_size,
        clip=clip,
        seed=seed,
        workers=workers,
        size=parse_size(size),
        protocol=protocol,
        expected=expected,
        notes={"method": method},
    )


def adaptation_optimizer(
    name: str, architecture: str, lr: float | None = None, encoder_lr: float | None = None
) -> OptimizerSettings:
    """ "paper" is Adam (0.9, 0.98) with 2.5e-4, 1.5e-5 for the encoder, constant, for every row."""
    if name != "paper":
        return optimizer_settings(name, architecture, lr, encoder_lr)
    settings = OptimizerSettings(lr=2.5e-4, encoder_lr=1.5e-5, schedule="constant")
    if lr is not None:
        settings = replace(settings, lr=lr, encoder_lr=lr * 1.5e-5 / 2.5e-4)
    return settings if encoder_lr is None else replace(settings, encoder_lr=encoder_lr)


def median_scaled(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tasks, with metrics of median-scaled depth (`depth/median_scaled/...`) beside the others."""
    return tuple(task.with_scale_free_metrics() for task in tasks)
