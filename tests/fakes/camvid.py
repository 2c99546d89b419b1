"""SegNet's CamVid: `train/X.png` (or .jpg) with `trainannot/X.png`, one byte a pixel, void 11."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_png
from fakes.scene import render

_IDS = np.array([0, 3, 1, 5, 8, 1], dtype=np.uint8)


def write(root: Path, train: int = 4, val: int = 2, size: tuple[int, int] = (36, 48)) -> Path:
    """A miniature; training images are PNG as in the source, validation images JPEG."""
    numbers = {
        "train": range(train),
        "val": range(train, train + val),
        "test": range(train + val, train + val + 1),
    }
    camera = (40.0, 40.0, size[1] / 2, size[0] / 2)
    for split, indices in numbers.items():
        for index in indices:
            scene = render(index, size, camera)
            ids = _IDS[scene.regions]
            ids[:, :2] = 11
            name = f"0001TP_{6690 + 30 * index:06d}"
            if split == "val":
                write_jpeg(root / split / f"{name}.jpg", scene.image)
            else:
                write_png(root / split / f"{name}.png", scene.image)
            write_png(root / f"{split}annot" / f"{name}.png", ids)
    return root
