"""A user's own folder: images, some with labels of one kind, some with none."""

from pathlib import Path

import numpy as np

from fakes.png import write_jpeg, write_npy, write_png
from fakes.scene import Scene, render

CAMERA = (60.0, 58.0, 30.0, 25.0)


def scene_of(index: int, size: tuple[int, int] = (48, 64)) -> Scene:
    return render(index, size, CAMERA)


def write(root: Path, train: int = 8, val: int = 2, size: tuple[int, int] = (48, 64)) -> Path:
    """Image i has a mask where i is even, depth where i % 3 != 0; edges and normals from files."""
    for index in range(train + val):
        scene = scene_of(index, size)
        name = f"photo_{index:02d}"
        write_jpeg(root / "images" / f"{name}.jpg", scene.image)
        if index % 2 == 0:
            ids = scene.regions.astype(np.uint8)
            ids[:2] = 255
            write_png(root / "segmentation" / f"{name}.png", ids)
        if index % 3 == 1:
            write_npy(root / "depth" / f"{name}.npy", scene.depth)
        if index % 3 == 2:
            write_png(
                root / "depth" / f"{name}.png", np.round(scene.depth * 1000).astype(np.uint16)
            )
    names = ("sky", "ground", "left wall", "far wall", "box", "right wall")
    lines = [f"{name} {40 * i} {255 - 40 * i} 90" for i, name in enumerate(names)]
    (root / "classes.txt").write_text("\n".join(lines) + "\n")
    (root / "intrinsics.txt").write_text(" ".join(map(str, CAMERA)) + "\n")
    return root
