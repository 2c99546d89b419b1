"""Predictions as a benchmark server wants them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from crosstask.media.files import atomic_path

# train id -> label id of the 19 Cityscapes classes, in the order of the class table.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip


def label_ids(classes: tuple[str, ...]) -> np.ndarray:
    """Class index -> Cityscapes label id, by name, for any of the class tables.

    Raises:
        ValueError: a class that Cityscapes does not have (grouped tables cannot be submitted).
    """
    known = {
        name.replace("_", " "): i for name, i in zip(CITYSCAPES_NAMES, CITYSCAPES_IDS, strict=True)
    }
    unknown = [name for name in classes if name.replace("_", " ") not in known]
    if unknown:
        raise ValueError(
            f"`submission` needs Cityscapes classes; {', '.join(unknown)} cannot be submitted; train with "
            "`--classes 19`"
        )
    return np.array([known[name.replace("_", " ")] for name in classes], dtype=np.uint8)


def write_submission(folder: Path, name: str, classes: torch.Tensor, ids: np.ndarray) -> Path:
    """One 8-bit PNG of label ids, `NAME*.png`, as the Cityscapes server reads them.

    Args:
        classes: (H,W) class indices at 1024x2048.
    """
    path = folder / f"{Path(name).name}_pred.png"
    with atomic_path(path) as temporary:
        Image.fromarray(ids[classes.cpu().numpy()]).save(temporary, format="PNG")
    return path
