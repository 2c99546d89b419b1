"""BSDS500: upright and turned images, several annotators an image in a .mat cell array."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg
from fakes.scene import BOX, Scene, render


def scene_of(index: int, size: tuple[int, int] = (48, 64)) -> Scene:
    return render(index, size, (50.0, 50.0, size[1] / 2, size[0] / 2))


def annotators(scene: Scene) -> list[np.ndarray]:
    """Two see all regions, one overlooks the box."""
    regions = (scene.regions + 1).astype(np.uint16)
    without = np.where(scene.regions == BOX, 2, regions).astype(np.uint16)
    return [regions, regions.copy(), without]


def lines(regions: np.ndarray) -> np.ndarray:
    """`Boundaries`: the pixel right of or below a change of region, one pixel wide."""
    line = np.zeros(regions.shape, np.uint8)
    line[:, 1:] = regions[:, 1:] != regions[:, :-1]
    line[1:] |= regions[1:] != regions[:-1]
    return line


def write(root: Path, train: int = 4, val: int = 2, size: tuple[int, int] = (48, 64)) -> Path:
    """A miniature; odd images stand upright."""
    from scipy.io import savemat

    for split, first, count in (("train", 100, train), ("val", 200, val), ("test", 300, 1)):
        for index in range(count):
            scene = scene_of(index, size if index % 2 == 0 else size[::-1])
            name = str(first + index)
            write_jpeg(root / "data" / "images" / split / f"{name}.jpg", scene.image)
            cell = np.empty((1, 3), dtype=object)
            for column, regions in enumerate(annotators(scene)):
                entry = np.zeros((1, 1), dtype=[("Segmentation", object), ("Boundaries", object)])
                entry[0, 0] = (regions, lines(regions))
                cell[0, column] = entry
            path = root / "data" / "groundTruth" / split / f"{name}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"groundTruth": cell})
    return root
