"""The parts that every supervised recipe puts together in the same way."""

from typing import Any

from crosstask.balancing import create_balancer
from crosstask.models import create_model
from crosstask.recipes.experiment import Data, Experiment
from crosstask.recipes.options import parse_names, parse_size
from crosstask.regimes.optimization import optimizer_settings
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task

# Architectures whose papers add the losses of their levels instead of averaging them.
_SUMMED_LEVELS = ("sca_mtl", "mti_net", "mti_xtam", "atrc")


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
            **(options or {}),
        )


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
    workers: int = 2,
    channels_last: bool = True,
    init_from: str | None = None,
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
        size: HEIGHTxWIDTH of training pictures.
        steps: optimiser steps.
        batch_size: pictures a batch and process.
        accumulate: batches of one optimiser step.
        seed: of weights, order and augmentation.
        balancing: paper, equal, uncertainty, gradnorm, mgda, or a method of TorchJD.
        optimizer: paper, matched, adam, adamw, sgd.
        lr: rate of decoders and exchanges (the encoder's keeps its ratio).
        encoder_lr: rate of the encoder.
        levels: how losses of supervised levels combine: auto, mean, sum, last.
        ema: decay of the moving average of the weights; 0 is off.
        freeze: "encoder", "norms" or both with a comma.
        clip: global gradient norm.
        val_every: optimiser steps between validations.
        val_batch_size: pictures of a validation batch.
        workers: loader processes.
        channels_last: memory layout of convolutions.
        init_from: a run whose weights are taken over where they fit.
        protocol: correct or released.
    """
    network = build_network(
        tasks, architecture, encoder, pretrained, width, "imagenet", options, seed
    )
    if levels == "auto":
        levels = "sum" if architecture in _SUMMED_LEVELS else "mean"
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
        from crosstask.training import initialise_from

        initialise_from(regime, init_from)
    return Experiment(
        regime=regime,
        train_data=train_data,
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
