"""Recipes on procedural streets: no dataset to download, true labels for every task."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crosstask.recipes.options import choose_tasks, parse_size
from crosstask.recipes.recipe import recipe, variant
from crosstask.recipes.sets import S_D_N, S_D_N_E
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    SelfSupervisionSettings,
    StreetSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.data import Mixture, ProceduralStreets
    from crosstask.engine.experiment import Experiment
    from crosstask.tasks import Task

_NETWORK = NetworkSettings(encoder="resnet10t", pretrained=False, width=0.25)
_TRAINING = TrainingSettings(steps=400, batch_size=4, optimizer="matched", val_every=200)


def street_tasks(
    protocol: str = "correct", canonical_focal: float | None = None
) -> "dict[str, Task]":
    """The four tasks as procedural streets teach them: depth from 1 to 80 m."""
    from crosstask.data.streets import STREET_CLASSES
    from crosstask.recipes.tasks import scene_tasks

    return scene_tasks(STREET_CLASSES, near=1.0, canonical_focal=canonical_focal, protocol=protocol)


def open_streets(
    streets: StreetSettings, split: str, modalities: tuple[str, ...], **options: Any
) -> "ProceduralStreets":
    """The scenes of a split.

    Args:
        streets: with a number for its `scene_seed`, see `StreetSettings.of_seed`.
        options: further ones of `ProceduralStreets`.
    """
    from crosstask.data import ProceduralStreets

    names: Any = {
        "split": split,
        "difficulty": streets.difficulty,
        "seed": streets.scene_seed,
    }
    return ProceduralStreets(
        modalities=modalities,
        size=parse_size(streets.size),
        length=streets.length(split),
        cache=streets.cache,
        **names,
        **options,
    )


@recipe
def supervised(
    tasks: str = ",".join(S_D_N_E),
    domain: str = "source",
    canonical_focal: float | None = None,
    labels_per_image: int | None = None,
    labelled: float | None = None,
    label_shift: int = 0,
    streets: StreetSettings = StreetSettings(),
    network: NetworkSettings = _NETWORK,
    training: TrainingSettings = _TRAINING,
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Supervised training on procedural streets, from random weights, in minutes on a CPU.

    Args:
        domain: source or target (another palette, light, camera).
        labels_per_image: hide all but so many labels of each training scene, chosen at random.
        labelled: share of the training scenes that keep a label, drawn for each task by itself.
        label_shift: displace training labels by up to so many pixels, each by itself, as badly
            registered sensors would.
    """
    from crosstask.recipes.supervised import supervised_experiment

    chosen = choose_tasks(tasks, street_tasks(supervision.protocol, canonical_focal))
    modalities = tuple(task.name for task in chosen)
    shared = {"domain": domain, "protocol": supervision.protocol}
    streets = streets.of_seed(training.seed)

    def scored(split: str) -> Any:
        return lambda: open_streets(streets, split, modalities, **shared)

    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: open_streets(
            streets,
            "train",
            modalities,
            labels_per_image=labels_per_image,
            hide={} if labelled is None else dict.fromkeys(modalities, 1 - labelled),
            label_shift=label_shift,
            **shared,
        ),
        val_data=scored("val"),
        reported_data=scored("test") if streets.reports_test(training.select) else None,
        size=streets.size,
        network=network,
        training=training,
        supervision=supervision,
    )


partial = variant(
    supervised,
    "Procedural streets where every training scene has one random label out of all tasks'.",
    labels_per_image=1,
    steps=800,
)


# Look of the scenes, and how far the target domain lies from the source: see `ProceduralStreets`.
_LOOKS = (("source", 1.0), ("target", 1.0), ("target", 0.5))


@recipe
def randomized(
    tasks: str = ",".join(S_D_N_E),
    canonical_focal: float = 250.0,
    rendered: str = "224x448",
    streets: StreetSettings = StreetSettings(
        size="192x320", difficulty="hard", train_length=6000, val_length=96
    ),
    network: NetworkSettings = NetworkSettings(
        architecture="fast", encoder="tf_efficientnet_lite0"
    ),
    training: TrainingSettings = TrainingSettings(
        steps=8000, batch_size=8, optimizer="matched", freeze="encoder", val_every=1000
    ),
    supervision: SupervisionSettings = SupervisionSettings(),
) -> "Experiment":
    """Procedural streets for use on photographs: domain randomisation, a frozen pretrained encoder.

    The model in the box, `streets`, is trained by this recipe.

    Args:
        rendered: HEIGHTxWIDTH of the scenes, out of which windows of `size` are cut at a random zoom.
        train_length: training scenes, of three looks (source, target, and half way).
    """
    from crosstask.data.streets import Street
    from crosstask.data.transforms.domain_randomization import randomized as augmentation
    from crosstask.recipes.supervised import supervised_experiment

    chosen = choose_tasks(tasks, street_tasks(supervision.protocol, canonical_focal))
    streets = streets.of_seed(training.seed)
    modalities = tuple(task.name for task in chosen)
    needed = tuple(dict.fromkeys(("segmentation", *modalities)))
    transform = augmentation(
        parse_size(streets.size),
        trees=(Street.TREE,),
        behind=(Street.BUILDING, Street.TERRAIN, Street.SKY),
        walls=(Street.BUILDING,),
        grounds=(Street.ROAD, Street.SIDEWALK),
        sky=Street.SKY,
    )
    protocol = supervision.protocol
    wide = replace(streets, size=rendered)
    return supervised_experiment(
        tasks=chosen,
        train_data=lambda: looks(wide, "train", needed, protocol, transform),
        val_data=lambda: looks(streets, "val", modalities, protocol),
        reported_data=(lambda: looks(streets, "test", modalities, protocol))
        if streets.reports_test(training.select)
        else None,
        size=streets.size,
        network=network,
        training=training,
        supervision=supervision,
    )


def looks(
    streets: StreetSettings,
    split: str,
    modalities: tuple[str, ...],
    protocol: str,
    transform: Any = None,
) -> "Mixture":
    """Streets of every look, in equal parts."""
    from crosstask.data import Mixture

    count = len(_LOOKS)
    share = replace(
        streets,
        train_length=max(1, streets.train_length // count),
        val_length=max(1, streets.val_length // count),
        test_length=max(1, streets.length("test") // count),
    )
    parts = []
    for number, (domain, gap) in enumerate(_LOOKS):
        scenes = replace(share, scene_seed=count * int(streets.scene_seed) + number)
        options = {"domain": domain, "gap": gap, "protocol": protocol, "transform": transform}
        parts.append(open_streets(scenes, split, modalities, **options))
    return Mixture([(part, 1.0) for part in parts])


@recipe
def self_supervised(
    tasks: str = "depth",
    flip: float = 0.5,
    streets: StreetSettings = StreetSettings(size="96x192", train_length=800),
    network: NetworkSettings = NetworkSettings(
        architecture=None, encoder="test_resnet", pretrained=False, width=0.25
    ),
    motion: SelfSupervisionSettings = SelfSupervisionSettings(
        pose_encoder="test_resnet",
        pose_encoder_weights="none",
        pose_network="correlation",
        pose_lr=2e-3,
        refine_poses=True,
    ),
    training: TrainingSettings = TrainingSettings(
        steps=1000,
        batch_size=4,
        balancing="equal",
        optimizer="matched",
        lr=1e-3,
        val_every=250,
    ),
) -> "Experiment":
    """Depth and motion from three frames of procedural streets, scored against their true values.

    With `--tasks segmentation,depth` segmentation learns from its labels in the same network. The
    true depth and poses are for evaluation alone; `--distance poses` lets the length of the true
    motion fix the scale.

    Args:
        tasks: comma-separated, ordered; depth among them is the self-supervised one.
        train_length: training scenes of three frames.
        pose_lr: rate of the pose network, which has to lead at the start: under a wrong motion the
            best depth is infinite.
    """
    from crosstask.data import transforms
    from crosstask.recipes.self_supervised import (
        depth_task,
        parse_offsets,
        self_supervised_experiment,
        sequence_modalities,
    )

    depth = depth_task(motion.distance, motion.camera_height, near=1.0, far=80.0, start=1.0)
    chosen = choose_tasks(tasks, {**street_tasks(), "depth": depth})

    streets = streets.of_seed(training.seed)

    def sequences(split: str, transform: Any = None) -> Any:
        return lambda: open_streets(
            streets,
            split,
            sequence_modalities(chosen, poses=True),
            offsets=parse_offsets(motion.offsets),
            transform=transform,
        )

    return self_supervised_experiment(
        tasks=chosen,
        train_data=sequences("train", transforms.training(parse_size(streets.size), flip=flip)),
        val_data=sequences("val"),
        reported_data=sequences("test") if streets.reports_test(training.select) else None,
        size=streets.size,
        network=network,
        motion=motion,
        training=training,
    )


@recipe
def adaptation(
    tasks: str = ",".join(S_D_N),
    gap: float = 1.0,
    canonical_focal: float | None = None,
    streets: StreetSettings = StreetSettings(size="64x128"),
    network: NetworkSettings = _NETWORK,
    adaptation: AdaptationSettings = AdaptationSettings(),
    training: TrainingSettings = _TRAINING,
    supervision: SupervisionSettings = SupervisionSettings(levels="mean"),
) -> "Experiment":
    """From labelled source streets to unlabelled target streets, scored on the target domain.

    Args:
        gap: how far the domains lie apart: 0 is no difference, 1 the default.
        canonical_focal: focal length in pixels at which depth is predicted (camera-aware); the
            fields of view of the domains differ.
    """
    from crosstask.recipes.adaptation import adaptation_experiment
    from crosstask.recipes.tasks import median_scaled

    available = street_tasks(supervision.protocol, canonical_focal)
    chosen = median_scaled(choose_tasks(tasks, available))

    streets = streets.of_seed(training.seed)

    def domain(name: str, split: str, modalities: tuple[str, ...]) -> "ProceduralStreets":
        options = {"domain": name, "gap": gap, "protocol": supervision.protocol}
        return open_streets(streets, split, modalities, **options)

    return adaptation_experiment(
        tasks=chosen,
        source=lambda modalities: domain("source", "train", modalities),
        target=lambda modalities: domain("target", "train", modalities),
        val_data=lambda: domain("target", "val", tuple(t.name for t in chosen)),
        reported_data=None
        if streets.test_length is None
        else lambda: domain("target", "test", tuple(t.name for t in chosen)),
        size=streets.size,
        network=network,
        adaptation=adaptation,
        training=training,
        supervision=supervision,
    )
