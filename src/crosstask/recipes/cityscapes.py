"""Recipes on Cityscapes; Cityscapes as the target of an adaptation."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from crosstask.recipes.options import choose_tasks, needed_root, parse_size
from crosstask.recipes.recipe import recipe
from crosstask.recipes.sets import S_D_N
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    ReaderSettings,
    SelfSupervisionSettings,
    SupervisionSettings,
    TrainingSettings,
    filled,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task

# Steps and batch of DenseMTL's paper; images of every reader are 512x1024 unless told otherwise.
PAPER = TrainingSettings(steps=40_000, batch_size=2)
# What the phases of the published training with video set where the command line does not.
PHASES: dict[str, dict[str, Any]] = {
    "depth": {
        "tasks": "depth", "steps": 300_000, "batch_size": 4, "lr": 1e-4, "encoder_lr": 1e-4,
        "pose_lr": 1e-4, "freeze": "encoder", "feature_distance": 0.0, "jitter": 0.5,
    },
    "depth_unfrozen": {
        "tasks": "depth", "steps": 50_000, "batch_size": 4, "lr": 1e-5, "encoder_lr": 1e-5,
        "pose_lr": 1e-5, "freeze": "", "feature_distance": 1e-2, "jitter": 0.5,
    },
    "joint": {
        "tasks": "segmentation,depth", "steps": 40_000, "batch_size": 2, "lr": 5e-5,
        "encoder_lr": 1e-5, "pose_lr": 1e-6, "freeze": "", "feature_distance": 0.0, "jitter": 0.0,
    },
}  # fmt: skip


def cityscapes_tasks(
    classes: int = 16, protocol: str = "correct", canonical_focal: float | None = None
) -> "dict[str, Task]":
    """S, D (1e-3 to 80 m), N and E."""
    from crosstask.data import labels
    from crosstask.recipes.tasks import scene_tasks

    table, _ = labels.choose(labels.CITYSCAPES_TABLES, classes, "Cityscapes")
    return scene_tasks(table, canonical_focal=canonical_focal, protocol=protocol)


@recipe
def supervised(
    tasks: str = ",".join(S_D_N),
    classes: int = 16,
    canonical_focal: float | None = None,
    images: ReaderSettings = ReaderSettings(size="512x1024"),
    network: NetworkSettings = NetworkSettings(),
    training: TrainingSettings = PAPER,
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Cityscapes with the paper's settings: 16 classes, 1024x512, batch 2, 40,000 steps.

    DenseMTL, S-D-N, reached mIoU 0.761 (approximately), RMSE 6.407 m in the paper (Table 1).

    Args:
        classes: 19, 16, 13, 8 or 7.
    """
    from crosstask.data import Cityscapes
    from crosstask.recipes.supervised import reader_experiment

    return reader_experiment(
        Cityscapes,
        cityscapes_tasks(classes, supervision.protocol, canonical_focal),
        name="cityscapes",
        tasks=tasks,
        reader_options={"classes": classes, "far": 80.0},
        images=images,
        network=network,
        training=training,
        supervision=supervision,
    )


@recipe
def self_supervised(
    root: str | None = None,
    phase: Literal["depth", "depth_unfrozen", "joint"] = "joint",
    tasks: str | None = None,
    classes: int = 16,
    crop: str = "512x512",
    size: str = "512x1024",
    flip: float = 0.5,
    jitter: float | None = None,
    network: NetworkSettings = NetworkSettings(architecture=None),
    motion: SelfSupervisionSettings = SelfSupervisionSettings(feature_distance=None),
    training: TrainingSettings = TrainingSettings(
        steps=None,
        batch_size=None,
        balancing="equal",
        optimizer="paper_self_supervised",
        freeze=None,
    ),
) -> "Experiment":
    """Cityscapes with the settings of the paper's Table 5, in three phases; each starts from the last.

    `--phase depth` (depth and motion alone, encoder frozen), `--phase depth_unfrozen --init-from RUN1`
    (encoder free, held near its ImageNet features), `--phase joint --init-from RUN2` (with
    segmentation, under `--architecture densemtl`, threeways_padnet or multi_task_matched). A phase
    sets tasks, steps, batch, rates, frozen parts, feature distance and jitter that are not given.

    With 16 classes the paper reports mIoU 74.36 for DenseMTL and 69.74 for 3-ways PAD-Net. It trains
    depth on all frames of the sequences; here the targets are the labelled frames, each with its
    neighbours. Depth is scored by stereo disparity after median scaling.

    Args:
        root: folder of the dataset, with leftImg8bit_sequence and camera.
        phase: depth, depth_unfrozen or joint.
        classes: 16 or 19.
        crop: HEIGHTxWIDTH of the random training crops.
        size: HEIGHTxWIDTH that images are resized to first, and are validated at.
        camera_height: metres above the ground, if known (about 1.22 here): depth becomes metric.
    """
    if phase not in PHASES:
        raise ValueError(f"`phase` is {phase!r}; expected one of {', '.join(PHASES)}")
    from crosstask.data import Cityscapes, transforms
    from crosstask.recipes.self_supervised import (
        depth_task,
        parse_offsets,
        self_supervised_experiment,
        sequence_modalities,
    )

    preset, place = dict(PHASES[phase]), needed_root(root, "cityscapes.self_supervised")
    depth = depth_task(motion.distance, motion.camera_height)
    available = {**cityscapes_tasks(classes), "depth": depth}
    wanted, colours = preset.pop("tasks"), preset.pop("jitter")
    chosen = choose_tasks(wanted if tasks is None else tasks, available)
    of_motion = {name: preset.pop(name) for name in ("pose_lr", "feature_distance")}
    modalities = sequence_modalities(chosen, poses=False)
    options: dict[str, Any] = {
        "classes": classes,
        "far": 80.0,
        "offsets": parse_offsets(motion.offsets),
    }
    whole = parse_size(size)
    augmented = transforms.training(
        parse_size(crop), resize=whole, flip=flip, jitter=colours if jitter is None else jitter
    )
    return self_supervised_experiment(
        tasks=chosen,
        train_data=partial(Cityscapes, place, "train", modalities, augmented, **options),
        val_data=partial(
            Cityscapes, place, "val", modalities, transforms.evaluation(whole), **options
        ),
        size=size,
        network=network,
        motion=filled(motion, **of_motion),
        training=filled(training, **preset),
    )


# The released MTL-UDA: 90,000 steps of two images of each domain, without clipping.
RELEASED_ADAPTATION = TrainingSettings(steps=90_000, batch_size=2, clip=None, val_every=2500)


def adapted(
    source: "Callable[[tuple[str, ...], tuple[int, int], dict[str, Any]], Any]",
    *,
    recipe: str,
    root: str | None,
    tasks: str,
    classes: int,
    size: str,
    canonical_focal: float | None,
    value_range: str,
    source_value_range: str,
    network: NetworkSettings,
    adaptation: AdaptationSettings,
    training: TrainingSettings,
    supervision: SupervisionSettings,
) -> "Experiment":
    """From a labelled source to unlabelled Cityscapes train, scored on Cityscapes val.

    Args:
        source: (modalities, (height, width), options of the reader) -> the source's dataset.
        recipe: its name, for messages.
    """
    from crosstask.data import Cityscapes, transforms
    from crosstask.recipes.adaptation import adaptation_experiment
    from crosstask.recipes.tasks import median_scaled

    available = cityscapes_tasks(classes, supervision.protocol, canonical_focal)
    chosen, wanted = median_scaled(choose_tasks(tasks, available)), parse_size(size)
    options: dict[str, Any] = {"classes": classes, "far": 80.0, "protocol": supervision.protocol}

    def target(modalities: tuple[str, ...], split: str = "train") -> Cityscapes:
        folder = needed_root(root, recipe, "root", "Cityscapes")
        change = transforms.training(wanted) if split == "train" else transforms.evaluation(wanted)
        return Cityscapes(folder, split, modalities, change, value_range=value_range, **options)

    of_source = {**options, "value_range": source_value_range}
    return adaptation_experiment(
        tasks=chosen,
        source=lambda modalities: source(modalities, wanted, of_source),
        target=target,
        val_data=lambda: target(tuple(t.name for t in chosen), "val"),
        size=size,
        network=network,
        adaptation=adaptation,
        training=training,
        supervision=supervision,
    )
