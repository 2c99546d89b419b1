"""From SYNTHIA to Cityscapes: the 16 classes that both have (table 6 of DenseMTL)."""

from typing import TYPE_CHECKING, Any

from crosstask.recipes.cityscapes import RELEASED_ADAPTATION, adapted
from crosstask.recipes.options import needed_root
from crosstask.recipes.recipe import recipe
from crosstask.recipes.settings import (
    AdaptationSettings,
    NetworkSettings,
    SupervisionSettings,
    TrainingSettings,
)

if TYPE_CHECKING:
    from crosstask.engine.experiment import Experiment


@recipe
def adaptation(
    root: str | None = None,
    source_root: str | None = None,
    tasks: str = "segmentation,depth",
    classes: int = 16,
    size: str = "512x1024",
    canonical_focal: float | None = None,
    value_range: str = "auto",
    source_value_range: str = "auto",
    network: NetworkSettings = NetworkSettings(),
    adaptation: AdaptationSettings = AdaptationSettings(method="adversarial"),
    training: TrainingSettings = RELEASED_ADAPTATION,
    supervision: SupervisionSettings = SupervisionSettings(levels="mean"),
) -> "Experiment":
    """Labelled SYNTHIA-RAND-CITYSCAPES to unlabelled Cityscapes train, scored on Cityscapes val.

    The defaults are the released MTL-UDA: all 9400 source images, both domains at 1024x512, two
    images of each a batch, 90,000 steps, adversarial alignment, no clipping. The paper's depth
    errors are those under `depth/median_scaled/...` at `--protocol released`.

    Args:
        root: folder of Cityscapes (the target); its training labels are not read.
        source_root: folder of SYNTHIA (RAND_CITYSCAPES).
        classes: 16, or the 13 without wall, fence and pole.
        size: HEIGHTxWIDTH; the paper's.
    """
    from crosstask.data import Synthia, transforms

    def source(modalities: tuple[str, ...], wanted: tuple[int, int], options: Any) -> Synthia:
        folder = needed_root(source_root, "synthia_to_cityscapes", "source_root", "SYNTHIA")
        return Synthia(folder, "all", modalities, transforms.training(wanted), **options)

    return adapted(
        source,
        recipe="synthia_to_cityscapes",
        root=root,
        tasks=tasks,
        classes=classes,
        size=size,
        canonical_focal=canonical_focal,
        value_range=value_range,
        source_value_range=source_value_range,
        network=network,
        adaptation=adaptation,
        training=training,
        supervision=supervision,
    )
