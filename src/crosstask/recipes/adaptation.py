"""From settings, tasks and two domains to an adaptation experiment."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch.utils.data import Dataset

from crosstask.balancing import create_balancer
from crosstask.data.combine.pairs import DomainPairs
from crosstask.engine.experiment import Data, Experiment
from crosstask.recipes.building import (
    build_network,
    levels_of,
    make_experiment,
    regime_options,
    skipping_bad,
    with_losses,
)
from crosstask.recipes.options import parse_names
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    SupervisionSettings,
    TrainingSettings,
)
from crosstask.regimes.adaptation.alignment import AlignmentSettings
from crosstask.regimes.adaptation.regime import METHODS, Adaptation
from crosstask.regimes.adaptation.self_training import SelfTrainingSettings
from crosstask.regimes.optimization import OptimizerSettings, optimizer_settings
from crosstask.tasks import Task

Open = Callable[[tuple[str, ...]], Dataset[Any]]


@recipe
def adaptation_experiment(
    *,
    tasks: tuple[Task, ...],
    source: Open,
    target: Open,
    val_data: Data,
    reported_data: Data | None = None,
    size: str = "512x1024",
    network: NetworkSettings = NetworkSettings(),
    adaptation: AdaptationSettings = AdaptationSettings(),
    training: TrainingSettings = TrainingSettings(steps=90_000, val_every=2500),
    supervision: SupervisionSettings = SupervisionSettings(levels="mean"),
) -> Experiment:
    """An adaptation experiment from tasks and the two domains.

    The last checkpoint is the one that counts: choosing the best by a score on target labels would
    be training with them.

    Args:
        tasks: ordered tasks.
        source: opens the labelled source set with the modalities given to it.
        target: opens the target's training set; without modalities except for the oracle.
        val_data: opens the target's validation set.
        reported_data: opens what the final scores are from, see `Experiment`.
        optimizer: paper (Adam 2.5e-4, encoder 1.5e-5, constant), matched, adam, adamw.
    """
    method, name = adaptation.method, network.name(tasks)
    tasks = with_losses(supervision.of(tasks), supervision)
    if method not in METHODS:
        raise ValueError(f"`method` is {method!r}; expected one of {', '.join(METHODS)}")
    steps, _ = training.length()
    _check_starts(adaptation, steps)
    _check_sensor(adaptation)
    _warn_of_teacher(adaptation, training)
    regime = Adaptation(
        build_network(tasks, network, training.seed),
        tasks,
        create_balancer(training.balancing, tasks),
        adaptation_optimizer(training.optimizer, name, training.lr, training.encoder_lr),
        levels=levels_of(supervision, name),  # type: ignore[arg-type]
        freeze=parse_names(training.freeze or "", "freeze"),
        **regime_options(training),
        **_regime_options(adaptation),
    )
    modalities = tuple(task.name for task in tasks)

    def domain(opened: Data) -> Dataset[Any]:
        return skipping_bad(opened)() if training.skip_bad else opened()

    def train_data() -> Dataset[Any]:
        if method == "oracle":
            return domain(lambda: target(modalities))
        return DomainPairs(domain(lambda: source(modalities)), domain(lambda: target(())))

    return make_experiment(
        regime,
        train_data,
        val_data,
        size,
        replace(training, val_every=min(training.val_every, steps)),
        protocol=supervision.protocol,
        class_weights=supervision.weights_rule(tasks),
        expected=adaptation.expected,
        notes={"method": method},
        reported_data=reported_data,
    )


def _check_starts(settings: AdaptationSettings, steps: int) -> None:
    """Refuses a part of the method that would begin after the last step."""
    starts = {
        "adversarial": ("adversarial_start", settings.adversarial_start),
        "self_training": ("pseudo_start", settings.pseudo_start),
    }
    for part, (option, start) in starts.items():
        if settings.method in (part, "both") and start >= steps:
            raise ValueError(
                f"`{option}` is {start} and training has {steps} steps, so this part of `--method "
                f"{settings.method}` would never begin; expected a smaller `--{option.replace('_', '-')}`"
            )


def _check_sensor(settings: AdaptationSettings) -> None:
    """Refuses to match a source that is not there."""
    if settings.method == "oracle" and (settings.match_colors or settings.match_noise):
        raise ValueError(
            "`match_colors` and `match_noise` change source images, and `--method oracle` reads none; "
            "leave them out"
        )


def _warn_of_teacher(settings: AdaptationSettings, training: TrainingSettings) -> None:
    teaches = settings.method in ("self_training", "both")
    if teaches and settings.pseudo_start == 0 and training.init_from is None:
        warnings.warn(
            "the teacher's labels count from the first step, when its decoders know nothing; begin from "
            "a network trained on the source (`--method source_only`, then `--init-from RUN`), or give "
            "`--pseudo-start`, for example half of the steps",
            stacklevel=2,
        )


def _regime_options(settings: AdaptationSettings) -> dict[str, Any]:
    return {
        "method": settings.method,
        "alignment": AlignmentSettings(
            weight=settings.adversarial_weight,
            start=settings.adversarial_start,
            lr=settings.adversarial_lr,
            width=settings.discriminator_width,
        ),
        "self_training": SelfTrainingSettings(
            weight=settings.pseudo_weight,
            start=settings.pseudo_start,
            decay=settings.teacher_decay,
            mixing=settings.mixing,
            least_share=settings.pseudo_share,
            jitter=settings.mixed_jitter,
        ),
        "match_colors": settings.match_colors,
        "match_noise": settings.match_noise,
    }


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
