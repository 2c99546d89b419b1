"""From Virtual KITTI 2 to Cityscapes: the 8 classes that both have (table 6 of DenseMTL)."""

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
    size: str = "512x1024",
    canonical_focal: float | None = None,
    value_range: str = "auto",
    source_value_range: str = "auto",
    network: NetworkSettings = NetworkSettings(),
    adaptation: AdaptationSettings = AdaptationSettings(method="adversarial"),
    training: TrainingSettings = RELEASED_ADAPTATION,
    supervision: SupervisionSettings = SupervisionSettings(levels="mean"),
) -> "Experiment":
    """Labelled Virtual KITTI 2 to unlabelled Cityscapes train, scored on Cityscapes val.

    The defaults are the released MTL-UDA: all 2126 source images (15-deg-left, camera 0) resized
    to 1696x512 and cut to 1024x512, two images of each domain a batch, 90,000 steps, adversarial
    alignment, no clipping. Trucks are vehicles in the source and void in the target, as in the
    paper's 8 classes (buses are vehicles in the target; the source has none). The paper's depth
    errors are those under `depth/median_scaled/...` at `--protocol released`.

    Args:
        root: folder of Cityscapes (the target); its training labels are not read.
        source_root: folder of Virtual KITTI 2.
        size: HEIGHTxWIDTH; the paper's.
    """
    from crosstask.data import VirtualKITTI2, transforms

    def source(modalities: tuple[str, ...], wanted: tuple[int, int], options: Any) -> VirtualKITTI2:
        folder = needed_root(source_root, "vkitti2_to_cityscapes", "source_root", "Virtual KITTI 2")
        wide = (wanted[0], round(wanted[0] * 1696 / 512))
        change = transforms.training(wanted, resize=wide)
        return VirtualKITTI2(folder, "all", modalities, change, **options)

    return adapted(
        source,
        recipe="vkitti2_to_cityscapes",
        root=root,
        tasks=tasks,
        classes=8,
        size=size,
        canonical_focal=canonical_focal,
        value_range=value_range,
        source_value_range=source_value_range,
        network=network,
        adaptation=adaptation,
        training=training,
        supervision=supervision,
    )
