"""The parts that every self-supervised recipe puts together in the same way."""

from collections.abc import Sequence
from typing import Any, Literal

from crosstask.balancing import create_balancer
from crosstask.engine.experiment import Data, Experiment
from crosstask.engine.threads import Workers
from crosstask.geometry.direct_alignment import DirectAlignment
from crosstask.models.companions.correlation_pose import CorrelationPoseNetwork
from crosstask.models.companions.pose import PoseNetwork
from crosstask.models.registry import model_options
from crosstask.recipes.building import build_network, skipping_bad
from crosstask.recipes.options import parse_names, parse_size
from crosstask.regimes.optimization import optimizer_settings
from crosstask.regimes.regime import Regime
from crosstask.regimes.self_supervised.regime import SelfSupervised
from crosstask.regimes.self_supervised.scale import KnownScale
from crosstask.regimes.self_supervised.view_synthesis import SelfSupervision
from crosstask.regimes.supervised import Supervised
from crosstask.tasks import Task
from crosstask.tasks.self_supervised_depth import SelfSupervisedDepth


def self_supervised_experiment(
    *,
    tasks: tuple[Task, ...],
    train_data: Data,
    val_data: Data,
    architecture: str | None = None,
    encoder: str | None = None,
    pretrained: bool = True,
    width: float = 1.0,
    options: dict[str, Any] | None = None,
    pose_encoder: str = "resnet18",
    pose_network: Literal["stacked", "correlation"] = "stacked",
    size: str = "128x256",
    offsets: str = "-1,1",
    reprojection: Literal["minimum", "mean"] = "minimum",
    auto_mask: bool = True,
    border: Literal["count", "ignore"] = "count",
    smoothness: float = 1e-3,
    feature_distance: float = 0.0,
    distance: float | Literal["poses"] | None = None,
    camera_height: float | None = None,
    scale_weight: float = 0.05,
    refine_poses: bool = False,
    refine_from: int = 200,
    steps: int = 40_000,
    batch_size: int = 2,
    accumulate: int = 1,
    seed: int = 0,
    balancing: str = "equal",
    optimizer: str = "paper_self_supervised",
    lr: float | None = None,
    encoder_lr: float | None = None,
    pose_lr: float | None = None,
    ema: float = 0.0,
    freeze: str = "",
    clip: float | None = 10.0,
    val_every: int = 1000,
    val_batch_size: int = 4,
    workers: Workers = "auto",
    channels_last: bool = True,
    init_from: str | None = None,
    skip_bad: bool = False,
) -> Experiment:
    """A self-supervised experiment from tasks and sequences.

    Without `SelfSupervisedDepth` among the tasks, the labelled ones are trained alone with the same
    settings: what the help of depth is measured against.

    Args:
        tasks: ordered tasks.
        train_data: opens the training sequences.
        val_data: opens the validation sequences.
        architecture: see `crosstask models`; if left out, densemtl, or single_task_matched for one
            task.
        encoder: a timm name; the architecture's own if left out.
        pretrained: start both encoders from ImageNet weights (downloaded once by timm).
        width: factor on decoder widths.
        options: options of the architecture, for example `--options.fusion concat`.
        pose_encoder: timm name of the pose network's encoder.
        pose_network: stacked frames, as published, or correlation of features, which learns motion
            from scratch in far fewer steps.
        size: HEIGHTxWIDTH of training images.
        offsets: frames that explain the target, with an equals sign: `--offsets=-2,-1,1,2`.
        reprojection: per pixel the minimum of the source frames' errors, or their mean.
        auto_mask: leave out pixels that an unwarped source frame explains better.
        border: count pixels that leave the source image, or ignore the source there.
        smoothness: weight of edge-aware smoothness.
        feature_distance: weight of the distance to the features of the encoder at the start.
        distance: metres between frames, or poses (from the data), to learn metric depth.
        camera_height: metres above the ground, to learn metric depth.
        scale_weight: weight of the penalty that distance or camera_height brings.
        refine_poses: refine the pose network's motions against the images (direct alignment).
        refine_from: optimiser step from which on the predicted depth is trusted with it; before, motions
            are solved for under the depth of a level ground.
        steps: optimiser steps.
        batch_size: targets a batch and process.
        accumulate: batches of one optimiser step.
        seed: of weights, order and augmentation.
        balancing: equal (the paper's Table 5), uncertainty, gradnorm, mgda, or a method of TorchJD.
        optimizer: paper_self_supervised, matched, adam, adamw, sgd.
        lr: rate of decoders and exchanges (the encoder's keeps its ratio).
        encoder_lr: rate of the encoder.
        pose_lr: rate of the pose network; that of the decoders if left out.
        ema: decay of the moving average of the weights; 0 is off.
        freeze: any of encoder, norms, pose, with commas.
        clip: global gradient norm.
        val_every: optimiser steps between validations.
        val_batch_size: images of a validation batch.
        workers: loader processes; auto chooses from the cores that this process may use.
        channels_last: memory layout of convolutions.
        init_from: a run whose weights, the pose network's too, are taken over where they fit.
        skip_bad: count and report unreadable training samples instead of stopping.
    """
    supervision = SelfSupervision(
        offsets=parse_offsets(offsets),
        rule=reprojection,
        auto_mask=auto_mask,
        border=border,
        smoothness=smoothness,
        feature_distance=feature_distance,
        scale=KnownScale(distance=distance, camera_height=camera_height, weight=scale_weight),
        refinement=DirectAlignment() if refine_poses else None,
        refine_from=refine_from,
    )
    architecture = architecture or ("densemtl" if len(tasks) > 1 else "single_task_matched")
    levels: dict[str, Any] = {}
    if "prediction_levels" in model_options(architecture):  # DenseMTL's decoder, as in Table 5
        levels = {"prediction_levels": prediction_levels(tasks)}
    network = build_network(
        tasks, architecture, encoder, pretrained, width, "imagenet", levels | (options or {}), seed
    )
    shared: dict[str, Any] = {
        "steps": steps,
        "ema": ema,
        "channels_last": channels_last,
        "seed": seed,
    }
    arguments = (
        network,
        tasks,
        create_balancer(balancing, tasks),
        optimizer_settings(optimizer, architecture, lr, encoder_lr),
    )
    parts = parse_names(freeze)
    regime: Regime
    if any(task.learns_from_video for task in tasks):
        regime = SelfSupervised(
            *arguments,
            pose_network=build_pose_network(pose_network, pose_encoder, pretrained, seed),
            supervision=supervision,
            pose_lr=pose_lr,
            freeze=parts,
            **shared,
        )
    else:
        regime = Supervised(*arguments, freeze=[p for p in parts if p != "pose"], **shared)
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
    )


def prediction_levels(tasks: Sequence[Task]) -> dict[str, tuple[int, ...]]:
    """Levels that predict, as in the paper's Table 5: depth at strides 8, 4, 2, 1, others at 4 and 1."""
    return {t.name: (3, 2, 1, 0) if t.learns_from_video else (2, 0) for t in tasks}


def build_pose_network(
    kind: str, encoder: str, pretrained: bool, seed: int
) -> PoseNetwork | CorrelationPoseNetwork:
    """The pose network, with weights that depend on `seed` alone."""
    import torch

    kinds = {"stacked": PoseNetwork, "correlation": CorrelationPoseNetwork}
    if kind not in kinds:
        raise ValueError(f"`pose_network` is {kind!r}; expected one of {', '.join(kinds)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        return kinds[kind](encoder, pretrained)


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
