"""From settings, tasks and sequences to a self-supervised experiment."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crosstask.balancing import create_balancer
from crosstask.engine.experiment import Data, Experiment
from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork
from crosstask.models.companions.pose import PoseNetwork
from crosstask.models.registry import model_options
from crosstask.recipes.building import (
    build_network,
    make_experiment,
    regime_options,
    skipping_bad,
)
from crosstask.recipes.options import parse_names
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    NetworkSettings,
    SelfSupervisionSettings,
    TrainingSettings,
)
from crosstask.regimes.optimization import optimizer_settings
from crosstask.regimes.regime import Regime
from crosstask.regimes.self_supervised.regime import SelfSupervised
from crosstask.regimes.self_supervised.scale import KnownScale
from crosstask.regimes.self_supervised.view_synthesis import SelfSupervision
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth


@recipe
def self_supervised_experiment(
    *,
    tasks: tuple[Task, ...],
    train_data: Data,
    val_data: Data,
    reported_data: Data | None = None,
    size: str = "128x256",
    network: NetworkSettings = NetworkSettings(architecture=None),
    motion: SelfSupervisionSettings = SelfSupervisionSettings(),
    training: TrainingSettings = TrainingSettings(
        balancing="equal", optimizer="paper_self_supervised"
    ),
) -> Experiment:
    """A self-supervised experiment from tasks and sequences.

    Without `SelfSupervisedDepth` among the tasks, the labelled ones are trained alone with the same
    settings: what the help of depth is measured against.

    Args:
        tasks: ordered tasks.
        train_data: opens the training sequences.
        val_data: opens the validation sequences.
        reported_data: opens what the final scores are from, see `Experiment`.
    """
    name = network.name(tasks)
    levels: dict[str, Any] = {}
    if "prediction_levels" in model_options(name):  # DenseMTL's decoder, as in Table 5
        levels = {"prediction_levels": prediction_levels(tasks)}
    arguments = (
        build_network(
            tasks, replace(network, options=levels | (network.options or {})), training.seed
        ),
        tasks,
        create_balancer(training.balancing, tasks),
        optimizer_settings(training.optimizer, name, training.lr, training.encoder_lr),
    )
    parts, shared = parse_names(training.freeze or "", "freeze"), regime_options(training)
    regime: Regime
    if any(task.learns_from_video for task in tasks):
        regime = SelfSupervised(
            *arguments,
            pose_network=build_pose_network(
                motion.pose_network,
                motion.pose_encoder,
                motion.pose_encoder_weights or network.weights(motion.pose_encoder),
                training.seed,
            ),
            supervision=_supervision(motion),
            pose_lr=motion.pose_lr,
            freeze=parts,
            **shared,
        )
    else:
        regime = Supervised(*arguments, freeze=[p for p in parts if p != "pose"], **shared)
    opened = skipping_bad(train_data) if training.skip_bad else train_data
    return make_experiment(regime, opened, val_data, size, training, reported_data=reported_data)


def _supervision(motion: SelfSupervisionSettings) -> SelfSupervision:
    return SelfSupervision(
        offsets=parse_offsets(motion.offsets),
        rule=motion.reprojection,
        auto_mask=motion.auto_mask,
        border=motion.border,
        smoothness=motion.smoothness,
        feature_distance=motion.feature_distance or 0.0,
        scale=KnownScale(
            distance=motion.distance,
            camera_height=motion.camera_height,
            weight=motion.scale_weight,
        ),
        refinement=DirectAlignment() if motion.refine_poses else None,
        refine_from=motion.refine_from,
    )


def prediction_levels(tasks: Sequence[Task]) -> dict[str, tuple[int, ...]]:
    """Levels that predict, as in the paper's Table 5: depth at strides 8, 4, 2, 1, others at 4 and 1."""
    return {t.name: (3, 2, 1, 0) if t.learns_from_video else (2, 0) for t in tasks}


def build_pose_network(
    kind: str, encoder: str, weights: str, seed: int
) -> PoseNetwork | CorrelationPoseNetwork:
    """The pose network, with weights that depend on `seed` alone."""
    import torch

    kinds = {"stacked": PoseNetwork, "correlation": CorrelationPoseNetwork}
    if kind not in kinds:
        raise ValueError(f"`pose_network` is {kind!r}; expected one of {', '.join(kinds)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        return kinds[kind](encoder, weights=weights)


def parse_offsets(offsets: str | Sequence[int]) -> tuple[int, ...]:
    """ "-1,1" -> (-1, 1)."""
    parts = offsets.split(",") if isinstance(offsets, str) else offsets
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if not numbers or 0 in numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"`offsets` is {offsets!r}; expected different frames before and after, for example "
            "`--offsets=-1,1`"
        )
    return numbers


def sequence_modalities(tasks: Sequence[Task], poses: bool) -> tuple[str, ...]:
    """What a dataset has to deliver: targets, and neighbours (with poses) for self-supervised depth."""
    names = tuple(task.name for task in tasks)
    if not any(task.learns_from_video for task in tasks):
        return names
    return (*names, "neighbours", "poses") if poses else (*names, "neighbours")


def depth_task(
    distance: float | str | None = None, camera_height: float | None = None, **options: Any
) -> SelfSupervisedDepth:
    """The depth task: metric where a length is known, else up to scale."""
    known = distance is not None or camera_height is not None
    return SelfSupervisedDepth(kind="metric" if known else "up_to_scale", **options)
