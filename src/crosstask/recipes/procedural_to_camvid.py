"""From procedural streets to CamVid: a simulation without files to real photographs."""

from typing import TYPE_CHECKING, Any

from crosstask.recipes.camvid import camvid_tasks
from crosstask.recipes.options import needed_root, parse_size
from crosstask.recipes.procedural import open_streets
from crosstask.recipes.recipe import recipe_without
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    StreetSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment

# Grass verges have no class in CamVid; trucks are among its cars, lane markings among its roads.
STREETS_TO_CAMVID: dict[str, str] = {
    "road": "road",
    "sidewalk": "pavement",
    "building": "building",
    "fence": "fence",
    "pole": "pole",
    "sign": "sign",
    "tree": "tree",
    "sky": "sky",
    "pedestrian": "pedestrian",
    "bicyclist": "bicyclist",
    "car": "car",
    "truck": "car",
    "lane_marking": "road",
}


@recipe_without("val_length", "test_length")
def adaptation(
    root: str | None = None,
    tasks: str = "segmentation,edges",
    value_range: str = "auto",
    streets: StreetSettings = StreetSettings(size="192x256", difficulty="hard", train_length=4000),
    network: NetworkSettings = NetworkSettings(encoder="resnet18", width=0.5),
    adaptation: AdaptationSettings = AdaptationSettings(),
    training: TrainingSettings = TrainingSettings(
        steps=4000, batch_size=4, optimizer="matched", val_every=500
    ),
    supervision: SupervisionSettings = SupervisionSettings(levels="mean"),
) -> "Experiment":
    """Labelled procedural streets to unlabelled CamVid train, scored on CamVid val (11 classes).

    Args:
        root: folder of CamVid; its training labels are read by the oracle only.
        tasks: comma-separated, ordered: segmentation, edges.
        size: HEIGHTxWIDTH of both domains; scored at the labels' own size.
        difficulty: of the streets: easy or hard.
        train_length: street scenes.
    """
    from crosstask.data import CamVid, labels, transforms
    from crosstask.data.combine.class_map import MappedClasses
    from crosstask.recipes.adaptation import adaptation_experiment

    chosen = camvid_tasks(tasks, supervision.protocol)
    wanted, streets = parse_size(streets.size), streets.of_seed(training.seed)
    zoomed = transforms.training(wanted, scale=(1.0, 1.5), jitter=0.5)
    whole = transforms.training(wanted, jitter=0.5)

    def source(modalities: tuple[str, ...]) -> MappedClasses:
        with_labels = tuple(dict.fromkeys(("segmentation", *modalities)))
        scenes = open_streets(streets, "train", with_labels, transform=whole)
        return MappedClasses(scenes, labels.CAMVID_11, STREETS_TO_CAMVID)

    def photographs(split: str, modalities: tuple[str, ...], transform: Any) -> CamVid:
        folder = needed_root(root, "procedural_to_camvid")
        return CamVid(folder, split, modalities, transform, value_range=value_range)

    scored = transforms.evaluation(wanted, targets="native")
    return adaptation_experiment(
        tasks=chosen,
        source=source,
        target=lambda modalities: photographs("train", modalities, zoomed),
        val_data=lambda: photographs("val", tuple(task.name for task in chosen), scored),
        size=streets.size,
        network=network,
        adaptation=adaptation,
        training=training,
        supervision=supervision,
    )
